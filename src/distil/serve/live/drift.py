"""Whether requests are still like the calibrated ones: their length, their words, and how many the student answers.

Conformal test martingales (Vovk 2021, "Testing randomness online", arXiv 1906.09256): a request's rank among the calibrated ones
and all requests since is uniform as long as they are all of one kind (exchangeable), and a player bets that ranks are not. By
Ville's inequality a change is reported falsely with a chance of at most DELTA for each feature and each EPOCH requests, whatever
the feature is and however few the calibrated ones are. Certain is not large: what is reported is also at least EFFECT away.
"""

from __future__ import annotations

import bisect
import random
import re
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from statistics import median

import numpy as np

from distil.records import Message
from distil.serve.certificate.reasons import BY_CONFIDENCE, SURE
from distil.serve.served import Served
from distil.stats.betting import BLOCK, LARGEST, remaining
from distil.text import conversation_text

DELTA = 0.01
EPOCH = 20_000
"""Requests after which the memory begins again with the calibrated ones."""
EFFECT = 0.1
"""Least distance of the chance to be above a calibrated request from one half, and of the share of answers from the old one."""
RECENT = 500
MIN_REFERENCE, MIN_RECENT = 20, 50
_SLOPES = np.array([-1.8, -0.9, 0.9, 1.8])
_WORD = re.compile(r"\w+")
VOCABULARY_PROMPTS = 20_000


class RankTest:
    """One feature against its reference values."""

    def __init__(self, reference: Sequence[float], chance: Callable[[], float] = random.random) -> None:
        self.reference = sorted(reference)
        self.recent: deque[float] = deque(maxlen=RECENT)
        self.found = False
        """Whether the evidence has ever reached 1/DELTA in this epoch."""
        self._chance = chance
        self._begin()

    def _begin(self) -> None:
        self._bag = list(self.reference)
        self._wealth, self._waiting, self._count = np.zeros_like(_SLOPES), 1.0, 0
        self.found = False

    def add(self, value: float) -> None:
        """The value of the next request."""
        if self._count >= EPOCH:
            self._begin()
        low, high = bisect.bisect_left(self._bag, value), bisect.bisect_right(self._bag, value)
        rank = (len(self._bag) - high + self._chance() * (high - low + 1)) / (len(self._bag) + 1)
        self._bag.insert(high, value)
        if self._count % BLOCK == 0:
            before, self._waiting = self._waiting, remaining(self._count // BLOCK)
            self._wealth += before - self._waiting
        self._count += 1
        self._wealth = np.minimum(self._wealth * (1 + _SLOPES * (rank - 0.5)), LARGEST)
        self.recent.append(value)
        self.found = self.found or self._waiting + float(self._wealth.mean()) >= 1 / DELTA

    def above(self) -> float:
        """The chance that a recent request's value is above that of a calibrated one; ties count half."""
        below = (bisect.bisect_left(self.reference, v) + bisect.bisect_right(self.reference, v) for v in self.recent)
        return sum(below) / (2 * len(self.reference) * len(self.recent))

    @property
    def shifted(self) -> bool:
        """Whether the requests have changed, and by enough to care."""
        return self.found and len(self.recent) >= MIN_RECENT and abs(self.above() - 0.5) >= EFFECT


class Drift:
    """Watches the requests of one gateway."""

    def __init__(
        self,
        prompts: Sequence[Sequence[Message]],
        trained: Iterable[Sequence[Message]],
        coverage: tuple[int, int],
        chance: Callable[[], float] = random.random,
    ) -> None:
        """prompts: the calibrated ones; trained: those of the training, for their words; coverage: (answered, of how many)."""
        self._words = {word for messages in trained for word in _words(messages)}
        self.length = RankTest([float(_length(messages)) for messages in prompts], chance)
        self.unseen = RankTest([self._unseen(messages) for messages in prompts], chance)
        answered, labels = coverage
        self.answered = RankTest([1.0] * answered + [0.0] * (labels - answered), chance)

    def watch(self, served: Served) -> None:
        """Takes one answered request."""
        messages = served.request.messages
        self.length.add(float(_length(messages)))
        self.unseen.add(self._unseen(messages))
        if served.decision.reason in BY_CONFIDENCE:
            self.answered.add(float(served.decision.reason in SURE))

    def words(self) -> list[str]:
        """What has changed, for a person."""
        told = []
        if self.length.shifted:
            told.append(
                f"Requests are {'longer' if self.length.above() > 0.5 else 'shorter'} than the calibrated ones: median "
                f"{median(self.length.recent):,.0f} characters, {median(self.length.reference):,.0f} there."
            )
        if self.unseen.shifted:
            told.append(
                f"Requests use {'other' if self.unseen.above() > 0.5 else 'more familiar'} words: "
                f"{_mean(self.unseen.recent):.0%} of them are not in the training prompts; of the calibrated ones' words "
                f"{_mean(self.unseen.reference):.0%} are not."
            )
        share, promised = _mean(self.answered.recent), _mean(self.answered.reference)
        if self.answered.found and len(self.answered.recent) >= MIN_RECENT and abs(share - promised) >= EFFECT:
            told.append(f"The student is sure of {share:.0%} of the requests, {promised:.0%} at the calibration.")
        return told

    def _unseen(self, messages: Sequence[Message]) -> float:
        words = list(_words(messages))
        return sum(word not in self._words for word in words) / max(1, len(words))


def _length(messages: Sequence[Message]) -> int:
    return len(conversation_text(messages))


def _words(messages: Sequence[Message]) -> Iterable[str]:
    return _WORD.findall(conversation_text(messages)[:20_000].lower())


def _mean(values: Iterable[float]) -> float:
    listed = list(values)
    return sum(listed) / max(1, len(listed))
