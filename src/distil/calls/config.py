"""The `teachers` section of distil.yaml: which models answer, how fast, and at what price."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import Field

from distil.errors import UserError
from distil.records import Sampling
from distil.runs.section import Section


class Limits(Section):
    """How fast requests may be sent. null = learn it from the provider's replies."""

    concurrency: int = Field(default=200, ge=1)
    """Maximum requests in flight; fewer while the provider rejects requests."""
    requests_per_minute: int | None = Field(default=None, ge=1)
    """Requests per minute."""
    tokens_per_minute: int | None = Field(default=None, ge=1)
    """Tokens per minute, input and output combined."""
    input_tokens_per_minute: int | None = Field(default=None, ge=1)
    """Input tokens per minute, for providers that count them separately (Anthropic, Groq)."""
    output_tokens_per_minute: int | None = Field(default=None, ge=1)
    """Output tokens per minute, for providers that count them separately."""


class Price(Section):
    """Dollars per million tokens. Needed only if the price table has none, or to override it."""

    input: float = Field(ge=0)
    """$ per million input tokens."""
    output: float = Field(ge=0)
    """$ per million output tokens."""
    cached_input: float | None = Field(default=None, ge=0)
    """$ per million input tokens served from the provider's cache; null = same as input."""
    flex_factor: float = Field(default=1.0, gt=0)
    """Price of the flex tier relative to this price (often 0.5)."""
    batch_factor: float = Field(default=1.0, gt=0)
    """Price of the batch API relative to this price (0.5 at OpenAI and Anthropic)."""


class TeacherConfig(Section):
    """One model to learn from."""

    model: str
    """PROVIDER/NAME: openai, anthropic, google, azure, bedrock, vertex, openrouter, groq, mistral, together, fireworks, deepseek,
    x-ai, cerebras, cohere, perplexity, huggingface, ollama and more (docs/providers.md). Or http://HOST:PORT/v1#NAME (any
    OpenAI-compatible server), local/PATH, recorded/FILE.jsonl or bundled/teacher."""
    sampling: Sampling = Sampling()
    """Sampling parameters. Use the ones of your production traffic."""
    limits: Limits = Limits()
    """Rate limits."""
    price: Price | None = None
    """$ per million tokens; null = from the price table."""
    api_key_env: str | None = None
    """Environment variable that holds the API key (never write the key itself here); null = the provider's usual variable."""
    base_urls: list[str] = Field(default_factory=list)
    """Alternative API addresses: for a vendor they replace the default one; for http://HOST#NAME they are more replicas of the
    same model. Requests are balanced over them, and an unreachable one is skipped until it responds again."""
    timeout_s: float = Field(default=600.0, gt=0)
    """Seconds until a sent request times out; time in a queue does not count."""
    attempts: int = Field(default=8, ge=1)
    """Attempts per request before it goes to the list of failures."""


def by_model(teachers: Iterable[TeacherConfig]) -> dict[str, TeacherConfig]:
    """The teachers by their names. One model may be listed twice with two samplings: both share its limits.

    Raises UserError when two entries of one model differ in anything but their sampling.
    """
    found: dict[str, TeacherConfig] = {}
    for teacher in teachers:
        first = found.setdefault(teacher.model, teacher)
        differ = [
            name
            for name in TeacherConfig.model_fields
            if name != "sampling" and getattr(first, name) != getattr(teacher, name)
        ]
        if differ:
            raise UserError(
                f"The teacher {teacher.model} is listed twice in distil.yaml with different {' and '.join(differ)}. Both entries "
                "are one model at one provider and share its limits, price and key; only their sampling may differ. "
                "Write the same in both."
            )
    return found
