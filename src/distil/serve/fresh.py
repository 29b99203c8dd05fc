"""A sampled request gets a fresh answer: each time it is asked, it has a sample index of its own in the ledger's keys."""

from __future__ import annotations

from collections import OrderedDict

from distil.calls.client import Client
from distil.calls.request import Request

REMEMBERED = 10_000
"""Questions whose next index is known without looking."""


class FreshSamples:
    """Index 0, 1, 2, ... for the same question, after those that the ledger has already: so `distil collect` finds the first."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._next: OrderedDict[str, int] = OrderedDict()

    def of(self, call: Request) -> Request:
        """The call under an index that has no answer yet. Raises UserError."""
        first = call.model_copy(update={"sample": 0})
        key = self._client.key(first)
        index = self._next.pop(key, 0)
        step = 1
        while self._client.answered(
            first.model_copy(update={"sample": index})
        ):  # an earlier start's; few looks for many
            index, step = index + step, 2 * step
        self._next[key] = index + 1
        if len(self._next) > REMEMBERED:
            self._next.popitem(last=False)
        return first.model_copy(update={"sample": index})
