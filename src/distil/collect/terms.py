"""One line per vendor on what its terms say about training on its models' outputs. A pointer to read, not legal advice.

Printed by `distil plan` and `distil collect`, kept in the manifest's notes. The user decides; nothing is refused here.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from distil.calls.providers.catalog import parse_model

READ = "2026-11-24"


class Terms(NamedTuple):
    """What was read, where and when."""

    vendor: str
    says: str
    url: str

    def line(self) -> str:
        """One line for a person."""
        read = f" (copy read {READ})" if self.url.startswith("https://") else ""
        return f"{self.vendor}: {self.says} Read the current text: {self.url}{read}."


TERMS: dict[str, Terms] = {
    "openai": Terms(
        "OpenAI",
        "its services agreement forbids using outputs to develop models that compete with OpenAI.",
        "https://openai.com/policies/services-agreement/",
    ),
    "anthropic": Terms(
        "Anthropic",
        "its commercial terms forbid building a competing product or service, training competing models included, "
        "unless it approves.",
        "https://www.anthropic.com/legal/commercial-terms",
    ),
    "google": Terms(
        "Google",
        "the Gemini API's additional terms forbid developing models that compete with its services, and extracting or "
        "replicating its models; free-tier prompts are read by people.",
        "https://ai.google.dev/gemini-api/terms",
    ),
}
HOSTED = Terms(
    "Other vendors and open-weight models",
    "the licence of the model decides (Apache-2.0 and MIT allow training on outputs; Llama and Gemma licences have "
    "clauses on derived models), and the host's own terms come on top.",
    "the model's card and the host's terms",
)
LOCAL = Terms(
    "Models of your own machine",
    "the licence of the model decides (Apache-2.0 and MIT allow training on outputs; Llama and Gemma licences have "
    "clauses on derived models).",
    "the model's card",
)
RECORDED = Terms(
    "Recorded answers",
    "the terms of the model that gave them hold for what is trained on them.",
    "its vendor's terms, or the model's card",
)


def terms_of(model: str) -> str | None:
    """The line for a model as the config names it; None for the bundled teacher, whose outputs are free."""
    prefix = parse_model(model).prefix
    if prefix == "bundled":
        return None
    return {**TERMS, "local": LOCAL, "recorded": RECORDED}.get(prefix, HOSTED).line()


def terms_of_all(models: Iterable[str]) -> list[str]:
    """The lines for several models, each once."""
    return list(dict.fromkeys(line for model in models if (line := terms_of(model)) is not None))
