"""Every error that Distil raises on purpose, with its exit code.

    DistilError                 1    the work failed
    ├── UserError               2    the input is wrong: the message gives what was found, what was expected and what to type next
    ├── WorkFailed              1    a stage could not finish (the provider refused, the disk is full, ...)
    ├── BudgetReached           3    the dollar cap is reached; what was paid for is kept
    ├── GateNotReached          4    the work is done, and its result is below what a gate asked for
    └── Interrupted           130    Ctrl-C; the next run resumes

These print one paragraph and no traceback. Anything else is a bug in Distil and keeps its traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class DistilError(Exception):
    """Base of the errors that a user can act on."""

    exit_code = 1


class UserError(DistilError):
    """The user's input is wrong. The message: found, expected, what to type next."""

    exit_code = 2


class WorkFailed(DistilError):
    """The work could not be finished; what is done is kept."""


class BudgetReached(DistilError):
    """The next request would exceed the dollar cap."""

    exit_code = 3


class GateNotReached(DistilError):
    """The work was done; what came out is below the gate that a user set for it."""

    exit_code = 4


class Interrupted(DistilError):
    """The user stopped the work; it is resumable."""

    exit_code = 130


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """` Did you mean 'x'?` for the closest known word, or an empty string. For the end of a message."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f" Did you mean {close[0]!r}?" if close else ""
