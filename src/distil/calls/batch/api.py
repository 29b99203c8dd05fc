"""What a vendor's batch API looks like from here, and how its replies are read without trusting their shape.

The plain HTTP under it is net.py. The vendors: openai_api.py (and those with its shape), anthropic_api.py, google_api.py.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

from distil.calls.batch.job import BatchJob, BatchRow
from distil.calls.providers.base import HttpProvider
from distil.calls.request import JsonObject
from distil.errors import WorkFailed

if TYPE_CHECKING:
    import aiohttp

State = Literal["running", "ended", "cancelled", "failed"]
"""Everything that no list below names is running: only a word that ends a batch ends it."""
ENDED = ("ended", "completed", "succeeded", "success", "partially_succeeded", "expired", "timeout_exceeded")
CANCELLED = ("cancelled", "canceled")
FAILED = ("failed",)
RUNNING = (
    "validating", "in_progress", "finalizing", "cancelling", "canceling", "cancellation_requested", "queued", "pending", "running"
)  # fmt: skip
"""Known words for a batch that is on its way. Others wait as well, and the user is told about them."""
_PREFIX = re.compile(r"^(?:job|batch)_state_")


class Progress(NamedTuple):
    """How far a batch is."""

    state: State
    """cancelled: someone stopped it; what was answered until then is there. failed: refused as a whole, nothing was charged."""
    done: int
    total: int
    message: str = ""
    """Why it failed."""
    too_much: bool = False
    """It failed because too many tokens are enqueued: smaller batches, or later."""
    word: str = ""
    """The provider's word for its state."""

    @property
    def unknown(self) -> bool:
        """The word is in none of the lists: it is waited for."""
        return self.state == "running" and self.word not in RUNNING


class Result(NamedTuple):
    """One row of a finished batch."""

    custom_id: str
    """Empty where the line can't be read so far."""
    reply: bytes | None
    """The body that a live request would have got; None when there is no answer."""
    problem: str = ""
    """Why there is none, for a person."""
    retryable: bool = True
    """False: the same request would fail again."""
    request_id: str | None = None
    """The provider's id of this reply."""
    unreadable: bytes | None = None
    """The line, where it can't be read: the row may have been paid for."""


class BatchProvider(HttpProvider, Protocol):
    """What batches need of a provider beyond live requests."""

    name: str
    base_url: str

    def headers(self) -> dict[str, str]:
        """The headers of a live request, with the key."""


class BatchApi(Protocol):
    """One vendor's batches for one model."""

    max_rows: int
    max_bytes: int

    async def submit(
        self, job: BatchJob, rows: Iterator[BatchRow], path: Path, uploaded: Callable[[str], Awaitable[None]]
    ) -> str:
        """Creates the batch (by way of a file at `path`) and returns its id. Raises Lost when it may or may not exist now.

        uploaded: told the id of a file at the provider before the batch is made of it, so that a lost batch is found by it.
        """

    async def find(self, job: BatchJob) -> str | None:
        """The id of the batch that carries the job's intent, or None when there is none at the provider."""

    async def look(self, batch_id: str) -> Progress:
        """How far it is. Raises Gone."""

    def results(self, batch_id: str) -> AsyncIterator[Result]:
        """The rows of an ended batch, in any order; rows that are missing were not answered. Raises Gone."""

    def read(self, batch: JsonObject) -> Progress:
        """The progress in the vendor's batch object, whatever its shape."""

    def result(self, row: JsonObject | bytes) -> Result:
        """One row of the results, whatever its shape; bytes: a line that can't be read as a JSON object."""

    async def cancel(self, batch_id: str) -> None:
        """Asks the provider to stop it; what was answered until then stays, and is charged. Raises Gone."""


class Lost(Exception):
    """The reply to `create` did not come: the batch may exist, and `find` looks for it."""


class Gone(Exception):
    """The provider does not have this batch, or its results, any more (or not under this key)."""


def progress(word: object, done: int, total: int) -> Progress:
    """A provider's word for a state, read: BATCH_STATE_SUCCEEDED, COMPLETED and completed are the same."""
    known = _PREFIX.sub("", str(word or "").strip().lower())
    state: State = "running"
    if known in ENDED:
        state = "ended"
    elif known in CANCELLED:
        state = "cancelled"
    elif known in FAILED:
        state = "failed"
    return Progress(state, done, total, word=known)


def as_object(value: object) -> JsonObject:
    """A JSON object; {} for anything else."""
    return value if isinstance(value, dict) else {}


def as_objects(value: object) -> list[JsonObject]:
    """The objects of a list; [] for anything else."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def as_count(value: object) -> int:
    """A count; Google writes numbers of 64 bits as text. 0 for anything else."""
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value[:18])
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 1 << 60 else 0


@contextmanager
def scratch(path: Path) -> Iterator[None]:
    """Around writing and sending the file of a batch, which is removed afterwards. Raises WorkFailed on a full disk."""
    try:
        yield
    except OSError as error:
        raise WorkFailed(f"Could not write {path}: {error.strerror}. Free some space and run again.") from error
    finally:
        path.unlink(missing_ok=True)


def multipart(path: Path, name: str, **fields: str) -> aiohttp.FormData:
    """The form that uploads a file under a name. For one attempt: aiohttp streams the open file and closes it when it is sent."""
    import aiohttp

    form = aiohttp.FormData(quote_fields=False)
    for field, value in fields.items():
        form.add_field(field, value)
    form.add_field("file", path.open("rb"), filename=name, content_type="application/jsonl")
    return form


def id_of(made: JsonObject) -> str:
    """The id of a batch that was just created. Raises Lost where the reply names none: it may exist all the same."""
    found = made.get("id") or made.get("name")
    if not isinstance(found, str):
        raise Lost("the reply names no batch")
    return found
