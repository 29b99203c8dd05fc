"""What a provider's fine-tuning API looks like from here: an order, its progress, and what is asked for on the way.

The providers: together.py, fireworks.py, openai.py, azure.py. The HTTP under them, with its patience and its errors, is the batch
APIs' (calls/batch/net.py), and so are Lost (it may exist now) and Gone (it is not there).
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple, Protocol

from distil.runs.schemas.provider_job import Serving

Phase = Literal["running", "succeeded", "failed", "cancelled"]
"""Everything that no provider's list names is running: only a word that ends a job ends it."""


class Order(NamedTuple):
    """A job to create."""

    base: str
    """The model to tune, as the provider names it."""
    intent: str
    """Ours: marks the job."""
    suffix: str
    """Becomes part of the model's name: letters, digits and '-', at most 40."""
    train_file: str
    """The provider's id of the uploaded data."""
    validation_file: str | None
    settings: dict[str, str | int | float | bool | None]
    """Training settings by the names of Distil's config; `epochs` is always there."""


class Base(NamedTuple):
    """A model that can be tuned, as the provider describes it."""

    name: str
    """As an order names it."""
    parameters: int | None = None
    max_epochs: int | None = None
    full: bool | None = None
    """Whether all weights can be trained; None: it does not say."""
    learning_rates: tuple[float, float] | None = None
    """Least and most."""
    max_rank: int | None = None
    """Of LoRA matrices."""


class FileState(NamedTuple):
    """What became of an uploaded file."""

    ready: bool
    error: str = ""
    """Why the provider refuses it; empty while it is ready or checked."""


class Estimate(NamedTuple):
    """The provider's own estimate of an order's price."""

    usd: float
    tokens: int | None = None
    """Of all epochs."""
    refusal: str = ""
    """Why the provider would not let it start, such as a credit limit."""


class JobState(NamedTuple):
    """How far a job is."""

    phase: Phase
    word: str
    """The provider's word for its state."""
    share: float | None = None
    """0 to 1, where it says so."""
    left_s: float | None = None
    """Seconds to go, where it says so."""
    message: str = ""
    """Why it failed."""
    model: str | None = None
    """What the provider calls the tuned model."""
    usd: float | None = None
    """What it cost, or is going to cost, where it says so."""
    tokens: int | None = None
    """Billed, where it says so."""
    known: bool = True
    """The word is one that the provider's documentation lists."""


class Event(NamedTuple):
    """One line of a job's log."""

    at: str
    """As the provider writes the time; events are told apart by both."""
    text: str
    share: float | None = None
    """0 to 1, where the line says how far it is."""


class FineTuningApi(Protocol):
    """One provider's fine-tuning for one account. Every method may raise UserError (key) and WorkFailed (after patience)."""

    async def base(self, name: str) -> Base:
        """The model to tune. Raises UserError when it is not known, or not tunable."""

    async def find_file(self, name: str) -> str | None:
        """The id of a file that was uploaded whole under this name, or None."""

    async def upload(self, path: Path, name: str, examples: int) -> str:
        """Sends a file and returns its id. Raises Lost when it may or may not be there now."""

    async def file_state(self, file_id: str) -> FileState:
        """Whether the provider has checked the file. Raises Gone."""

    async def estimate(self, order: Order) -> Estimate | None:
        """The price of an order whose files are ready; None where the provider has no estimate."""

    async def create(self, order: Order) -> str:
        """Creates the job and returns its id. Raises Lost when it may or may not exist now."""

    async def find_job(self, order: Order) -> str | None:
        """The id of the job that carries the order's intent or files, or None."""

    async def look(self, job_id: str) -> JobState:
        """How far it is. Raises Gone."""

    async def events(self, job_id: str) -> list[Event]:
        """Its log, oldest first; [] where the provider keeps none."""

    async def cancel(self, job_id: str) -> None:
        """Asks the provider to stop it. Raises Gone."""

    def serving(self, base: str, model: str) -> Serving:
        """Where the tuned model answers and what that costs."""
