"""Every error that Distil raises on purpose, and the exit code that it gives.

    DistilError                 1    the work failed
    ├── UserError               2    the input is wrong: says what was found, what was expected, what to type next
    ├── WorkFailed              1    a stage could not finish (the provider refused, the disk is full, ...)
    ├── BudgetReached           3    the dollar cap is reached; what was paid for is kept
    └── Interrupted           130    Ctrl-C; the next run goes on

These print one paragraph and no traceback. Anything else is our bug and keeps its traceback. The command line maps them.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class DistilError(Exception):
    """Root of the errors that a person can act on."""

    exit_code = 1


class UserError(DistilError):
    """Something that the user gave is wrong. The message: found, expected, what to type next."""

    exit_code = 2


class WorkFailed(DistilError):
    """The work could not be finished, and nothing that was done is lost."""


class BudgetReached(DistilError):
    """The dollar cap would be passed by the next request."""

    exit_code = 3


class Interrupted(DistilError):
    """The user stopped the work; it is resumable."""

    exit_code = 130


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """` Did you mean 'x'?` for the closest known word, or an empty string. For the end of a message."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f" Did you mean {close[0]!r}?" if close else ""
