"""The bundled task: triage of customer-support messages, with references, from a seeded compositional grammar.

Not a model and not a prompt store: `generate` draws examples, `write_prompts` writes them as JSON Lines. Loads no torch.
"""

from __future__ import annotations

from distil.bundled.triage.generate import TriageExample, generate, prompt_rows, write_prompts
from distil.bundled.triage.labels import (
    FIELDS,
    INTENTS,
    PRODUCTS,
    SENTIMENTS,
    SYSTEM,
    URGENCIES,
    answer_text,
    field_accuracy,
)

__all__ = [
    "FIELDS",
    "INTENTS",
    "PRODUCTS",
    "SENTIMENTS",
    "SYSTEM",
    "URGENCIES",
    "TriageExample",
    "answer_text",
    "field_accuracy",
    "generate",
    "prompt_rows",
    "write_prompts",
]
