"""What to know before the first dollar is spent: settings that will not be sent, costly repeats, and the vendors' terms.

One line each. Nothing is refused here, the user decides. The terms are pointers to read, not legal advice.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from distil.calls.config import TeacherConfig
from distil.calls.providers.catalog import ModelRef, open_keyless, parse_model
from distil.collect.questions import Question

TERMS_READ = "2026-11-24"


def notices(first: Question, teachers: Sequence[TeacherConfig], samples: int, root: Path) -> Iterator[str]:
    """The lines about how each teacher will be asked. `first`: any question, for the shape of a request."""
    for teacher in teachers:
        ignored = _ignored_settings(first, teacher, root)
        if ignored:
            # Silence about a setting that is not sent would misreport how the answers were sampled.
            yield f"{teacher.model} does not accept {', '.join(ignored)}: left out of the requests."
        ref = parse_model(teacher.model)
        if ref.prefix == "local" and not (root / ref.name).exists():
            yield f"{teacher.model}: there is no folder {root / ref.name}; looking on the Hugging Face hub instead."
        if ref.prefix == "ollama":
            yield (
                f"{teacher.model}: Ollama cuts prompts that are longer than its context without a word (often 4,096 tokens). "
                "Start it with OLLAMA_CONTEXT_LENGTH=16384 ollama serve, or as much as your prompts need."
            )
        if samples > 1 and teacher.sampling.temperature == 0 and "temperature" not in ignored:
            yield (
                f"{teacher.model} will be asked {samples} times per prompt at temperature 0: the answers will hardly differ, and "
                "each one costs money. Raise sampling.temperature, or set collect.samples to 1."
            )


def _ignored_settings(first: Question, teacher: TeacherConfig, root: Path) -> list[str]:
    if parse_model(teacher.model).local:
        return []
    return open_keyless(teacher, root).replicas[0].ignored(first._replace(teacher=teacher).request())


class Terms(NamedTuple):
    """What a vendor's terms say about training on its models' outputs, and where."""

    vendor: str
    summary: str
    url: str

    def line(self) -> str:
        """One line for a person."""
        read = f" (copy read {TERMS_READ})" if self.url.startswith("https://") else ""
        return f"{self.vendor}: {self.summary} Read the current text: {self.url}{read}."


_LICENSE = (
    "the model's license decides (Apache-2.0 and MIT allow training on outputs; the Llama and Gemma licenses have clauses on "
    "derived models)"
)
TERMS: dict[str, Terms] = {
    "openai": Terms(
        "OpenAI",
        "its services agreement forbids using outputs to develop models that compete with OpenAI.",
        "https://openai.com/policies/services-agreement/",
    ),
    "anthropic": Terms(
        "Anthropic",
        "its commercial terms forbid building a competing product or service, which includes training competing models, "
        "unless it approves.",
        "https://www.anthropic.com/legal/commercial-terms",
    ),
    "google": Terms(
        "Google",
        "the Gemini API's additional terms forbid developing models that compete with its services, and extracting or "
        "replicating its models; people may read free-tier prompts.",
        "https://ai.google.dev/gemini-api/terms",
    ),
    "local": Terms("Models on your own machine", f"{_LICENSE}.", "the model's card"),
    "recorded": Terms(
        "Recorded answers",
        "the terms of the model that gave them apply to training on them.",
        "its vendor's terms, or the model's card",
    ),
}
_HOSTED_FOR = {"openai-responses": "openai", "azure": "openai", "vertex": "google"}
_RESELLERS = ("bedrock", "openrouter")
HOSTED = Terms(
    "Other vendors and open-weight models",
    f"{_LICENSE}, and the host's own terms apply as well.",
    "the model's card and the host's terms",
)


def terms_of(model: str) -> str | None:
    """The line for a model as the config names it; None for the bundled teacher, whose outputs are free."""
    ref = parse_model(model)
    return None if ref.prefix == "bundled" else TERMS.get(_maker(ref), HOSTED).line()


def _maker(ref: ModelRef) -> str:
    """Whose terms apply: the maker of a model, also where a cloud or a router hosts it."""
    if ref.prefix in _HOSTED_FOR:
        return _HOSTED_FOR[ref.prefix]
    inside = re.search(r"(?:^|[./])(openai|anthropic|google)[./]", ref.name) if ref.prefix in _RESELLERS else None
    return inside[1] if inside is not None and "gpt-oss" not in ref.name and "gemma" not in ref.name else ref.prefix


def terms_of_all(models: Iterable[str]) -> list[str]:
    """The lines for several models, each once."""
    return list(dict.fromkeys(line for model in models if (line := terms_of(model)) is not None))
