"""work/train/NAME/provider.json: a fine-tuning job at a provider, from the intent to pay for it to the name of its model.

Written before every step that could be repeated and after it, so that a killed process never makes a second job. Evaluation,
cost and the gateway read what the model is called, where it answers and what that costs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from distil.errors import UserError
from distil.records import Record
from distil.runs.jsonl import describe, read_json, write_json

State = Literal["intended", "uploaded", "creating", "created", "succeeded", "failed", "cancelled"]


class SentFile(Record):
    """A data file and what it was made of."""

    name: str
    """At the provider; holds the intent, so that it is found there again."""
    source_sha256: str
    """Of the split that it was made of, as it was then."""
    sha256: str
    """Of the bytes that are sent."""
    size: int
    """Bytes."""
    examples: int
    """Lines."""
    id: str | None = None
    """The provider's; None until it is known."""


class Serving(Record):
    """Where the model answers and what that costs."""

    model: str
    """As --answers and the config name it: PROVIDER/NAME."""
    base_url: str | None = None
    """Of the API that answers, where that is not the provider's usual address."""
    dedicated: bool
    """It answers only from a deployment that is billed by the hour."""
    usd_per_hour: float | None = None
    """Of the smallest deployment; None: unknown, or billed by the token alone."""
    input: float | None = None
    """$ per million input tokens; None: unknown."""
    output: float | None = None
    """$ per million output tokens; None: unknown."""
    source: str = ""
    """Of the prices, with their date."""
    deploy: str = ""
    """What a person has to do before it answers; empty: nothing."""


class ProviderJob(Record):
    """One fine-tuning job."""

    provider: str
    """together | fireworks | azure | openai."""
    base: str
    """The model that is tuned, as the provider names it."""
    intent: str
    """Ours: 12 hex digits, in the names of the files and of the job."""
    suffix: str
    """Becomes part of the model's name; holds the intent."""
    state: State
    """intended (files may be there) | uploaded | creating (the job may be there) | created (its id is known) | succeeded |
    failed | cancelled."""
    created: str
    """ISO time, UTC, of the intent."""
    train: SentFile
    """The training data."""
    validation: SentFile | None = None
    """The validation data, where it is sent."""
    tokens: int
    """Tokens of one epoch, estimated from the bytes or told by the provider."""
    epochs: int
    """Passes over the training data."""
    settings: dict[str, str | int | float | bool | None]
    """Training settings that are sent; what is not here is the provider's choice."""
    remarks: tuple[str, ...] = ()
    """What the provider can't do of what the config asks, one line each."""
    usd_per_million: float | None = None
    """Price of a million tokens of training, where it is known."""
    estimate_usd: float | None = None
    """What it is expected to cost; None until the provider has estimated it."""
    most_usd: float = 0.0
    """Reserved under the cap."""
    price_source: str = ""
    """Of the estimate, with its date."""
    job_id: str | None = None
    """The provider's."""
    word: str = ""
    """The provider's last word for its state."""
    error: str = ""
    """Why it failed, in the provider's words."""
    usd: float | None = None
    """What it cost; None until it ended, or where the provider does not say."""
    serving: Serving | None = None
    """The model; None until the job succeeded."""

    @property
    def over(self) -> bool:
        """Nothing will happen to it any more."""
        return self.state in ("succeeded", "failed", "cancelled")


def read_provider_job(path: Path) -> ProviderJob | None:
    """The job of a student's folder; None where there is none. Raises UserError when the file can't be read."""
    if not path.exists():
        return None
    try:
        return ProviderJob.model_validate(read_json(path))
    except ValidationError as error:
        raise UserError(
            f"{path}: {describe(error)}. It remembers a fine-tuning job that is paid for: restore it from a copy."
        ) from None


def save_provider_job(path: Path, job: ProviderJob) -> ProviderJob:
    """Writes it, atomically, and returns it. Raises WorkFailed when the disk is full."""
    write_json(path, job.model_dump(mode="json"))
    return job
