"""The general corpus behind the bundled models' skills: copying, extraction, JSON, and reading messages.

It holds neither the bundled task's schema nor its answers nor any held-out frame or word. `document` draws one
document; `MIX` says how often each skill comes.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

from tools.bundled_models.skills import copying, domain, extraction
from tools.bundled_models.skills.documents import SPECIAL_TOKENS, Document, chat, plain

Skill = Callable[[random.Random], Document]
SKILLS: dict[str, Skill] = {
    "repetition": copying.repetition,
    "echo": copying.echo,
    "lookup": copying.lookup,
    "needle": copying.needle,
    "keyed_extraction": extraction.keyed_extraction,
    "question": extraction.question,
    "json_completion": extraction.json_completion,
    "raw": domain.raw,
    "paraphrase": domain.paraphrase,
    "same_or_not": domain.same_or_not,
    "summary": domain.summary,
    "questions": domain.questions,
    "order_number": domain.order_number,
    "number_as_json": domain.number_as_json,
    "foreign_note": domain.foreign_note,
    "reply": domain.reply,
}
# Shares of documents, not of tokens.
MIX: dict[str, float] = {
    "repetition": 0.03,
    "echo": 0.02,
    "lookup": 0.03,
    "needle": 0.02,
    "keyed_extraction": 0.06,
    "question": 0.01,
    "json_completion": 0.02,
    "raw": 0.01,
    "paraphrase": 0.04,
    "same_or_not": 0.02,
    "summary": 0.14,
    "questions": 0.12,
    "order_number": 0.04,
    "number_as_json": 0.02,
    "foreign_note": 0.4,
    "reply": 0.02,
}

__all__ = ["MIX", "SKILLS", "SPECIAL_TOKENS", "Document", "chat", "document", "plain"]


def document(rng: random.Random, mix: Mapping[str, float] = MIX) -> Document:
    """One document of a skill drawn with the mix's shares (they need not sum to one)."""
    name = rng.choices(tuple(mix), tuple(mix.values()))[0]
    return SKILLS[name](rng)
