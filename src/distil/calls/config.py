"""The `teachers` section: which models are asked, how, how fast and at what price.

Read by distil/config.py and the commands; `Client` takes these entries and unpacks them.
"""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import Field

from distil.errors import UserError
from distil.records import Sampling
from distil.runs.section import Section


class Limits(Section):
    """How fast a teacher may be asked. null = learn it from the provider's replies."""

    concurrency: int = Field(default=200, ge=1)
    """Most requests at once. Fewer are used while the provider refuses more."""
    requests_per_minute: int | None = Field(default=None, ge=1)
    """Requests a minute."""
    tokens_per_minute: int | None = Field(default=None, ge=1)
    """Tokens a minute, input and output together."""
    input_tokens_per_minute: int | None = Field(default=None, ge=1)
    """Input tokens a minute, where a provider counts them apart (Anthropic, Groq)."""
    output_tokens_per_minute: int | None = Field(default=None, ge=1)
    """Output tokens a minute, where a provider counts them apart."""


class Price(Section):
    """Dollars per million tokens. Only needed where the price table has none, or to overrule it."""

    input: float = Field(ge=0)
    """$ per million input tokens."""
    output: float = Field(ge=0)
    """$ per million output tokens."""
    cached_input: float | None = Field(default=None, ge=0)
    """$ per million input tokens that came from the provider's cache; null = the same as input."""
    flex_factor: float = Field(default=1.0, gt=0)
    """What the flex tier costs relative to this price (often 0.5)."""
    batch_factor: float = Field(default=1.0, gt=0)
    """What the batch API costs relative to this price (0.5 at OpenAI and Anthropic)."""


class TeacherConfig(Section):
    """One model to learn from."""

    model: str
    """openai/NAME, anthropic/NAME, google/NAME, http://HOST:PORT/v1#NAME (any OpenAI-compatible server), local/PATH,
    recorded/FILE.jsonl or bundled/teacher."""
    sampling: Sampling = Sampling()
    """How it samples. Use what production uses."""
    limits: Limits = Limits()
    """How fast it may be asked."""
    price: Price | None = None
    """$ per million tokens; null = from the price table."""
    api_key_env: str | None = None
    """Name of the environment variable with the key (the key itself never stands in a file); null = the provider's usual one."""
    base_urls: list[str] = Field(default_factory=list)
    """Other addresses of the API: for a vendor they replace its own, for http://HOST#NAME they are further replicas of the
    same model. Requests are balanced over them, and one that dies is left out until it answers again."""
    timeout_s: float = Field(default=600.0, gt=0)
    """Seconds that one request may take once it is sent; waiting in a queue does not count."""
    attempts: int = Field(default=8, ge=1)
    """How often a request is tried before it ends in the list of failures."""


def by_model(teachers: Iterable[TeacherConfig]) -> dict[str, TeacherConfig]:
    """The teachers by their names. One model may stand twice, to be asked with two samplings: then both share its limits.

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
                f"The teacher {teacher.model} stands twice in distil.yaml with different {' and '.join(differ)}. Both entries "
                "are one model at one provider and share its limits, price and key; only their sampling may differ. "
                "Write the same in both."
            )
    return found
