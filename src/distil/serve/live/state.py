"""What the audits of one certificate say: the live error, the alarm, and whether a tighter threshold may open the gate again.

A pure fold over audits in their order: replaying work/serve/audits.jsonl after a restart gives the same state.

open: the student answers from `threshold` on, and a random share of its answers is audited. When the evidence that more than
`risk` of them are bad reaches 1/delta, the alarm goes off. Under the hypothesis that each answer is bad with a chance of at most
`risk`, given all before, that happens with a chance of at most delta, over any length of time.
closed: the teacher answers everything. With on_alarm = tighten the student is still asked, and a tenth of its answers is compared
with the teacher's, which costs nothing more. The loosest of a few thresholds (quantiles of the confidences audited before the
alarm) whose answers since the alarm give evidence of a share below `risk` opens the gate again. Evidence against each threshold
is worth 1 / (number of thresholds), and the n-th opening is allowed delta / 2^n, so all openings together are wrong with a chance
of at most delta; that is, for a share that has not risen again since.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from typing import Literal, NamedTuple

import numpy as np

from distil.runs.schemas.audits import Audit
from distil.stats.betting import ExcessTest, LowTest, share_interval, weighted_share

OnAlarm = Literal["tighten", "off", "warn"]
CHANGE_EVERY = 5_000
"""Audits between two false reports of a change, on average, at the promised risk."""
CANDIDATES = 8
RECENT = 200
BURST = 50
"""Answers in a row that may be right or wrong together: audits of so many are bet on together."""
COMPARED = 0.1
"""Share of the answers that are compared while the gate is shut: so few that a burst rarely counts more than once."""


def unit_of(share: float) -> int:
    """Audits among BURST answers."""
    return max(1, round(share * BURST))


class Terms(NamedTuple):
    """What was promised, and what happens when it is not kept."""

    certificate: str
    risk: float
    delta: float
    """1 - confidence."""
    threshold: float
    on_alarm: OnAlarm


class LiveState:
    """The state after some audits."""

    def __init__(self, terms: Terms) -> None:
        self.terms, self.threshold = terms, terms.threshold
        self.closed = False
        """Whether the gate is shut by an alarm."""
        self.alarm_at: str | None = None
        """When the last alarm went off."""
        self.openings = 0
        """How often a tighter threshold has opened the gate again."""
        self._candidates: list[tuple[float, LowTest]] = []
        self._confidences: deque[float] = deque(maxlen=5_000)
        self._begin()

    def _begin(self) -> None:
        """Evidence on the threshold in force starts from nothing."""
        self.excess = ExcessTest(self.terms.risk)
        self.counts: Counter[tuple[float, bool]] = Counter()
        self.recent: deque[bool] = deque(maxlen=RECENT)

    def begin_with(self, risk: float) -> None:
        """Sets the share that is watched for, where it is not the promised one; only before the first audit."""
        if not self.excess.count and not self.closed and not self.openings:
            self.terms = self.terms._replace(risk=risk)
            self._begin()

    def add(self, audit: Audit) -> Literal["alarm", "opened"] | None:
        """Takes the next audit of this certificate. What it brought about, or None."""
        if audit.certificate != self.terms.certificate:
            return None
        self.begin_with(audit.risk)
        if self.closed:
            return self._compared(audit)
        if audit.answered != "student" or audit.threshold != self.threshold:
            return None  # chosen before the alarm or the opening, and labeled after it
        weight = round(audit.weight, 6)
        self.excess.add(audit.bad, weight, unit_of(audit.share))
        self.counts[weight, audit.bad] += 1
        self.recent.append(audit.bad)
        self._confidences.append(audit.confidence)
        if self.alarm or self.excess.evidence < 1 / self.terms.delta:
            return None
        self.alarm_at = audit.at
        if self.terms.on_alarm != "warn":
            self.closed = True
            if self.terms.on_alarm == "tighten":
                self._candidates = [(at, LowTest(self.terms.risk)) for at in self._grid()]
        return "alarm"

    def _grid(self) -> list[float]:
        """Thresholds that may open the gate again: the one in force, and quantiles above it."""
        levels = np.arange(1, CANDIDATES) / CANDIDATES
        quantiles = [float(value) for value in np.quantile(list(self._confidences), levels)]
        return sorted({self.threshold, *(value for value in quantiles if value > self.threshold)})

    def _compared(self, audit: Audit) -> Literal["opened"] | None:
        """An answer while the gate is closed: evidence for each threshold that would have let it through."""
        if audit.answered != "teacher":
            return None
        needed = len(self._candidates) * 2 ** (self.openings + 1) / self.terms.delta
        for at, test in self._candidates:
            if audit.confidence >= at:
                test.add(float(audit.bad))
        opened = next((at for at, test in self._candidates if test.evidence >= needed), None)
        if opened is None:
            return None
        self.threshold, self.closed, self.openings, self._candidates = opened, False, self.openings + 1, []
        self._confidences.clear()
        self.alarm_at = None
        self._begin()
        return "opened"

    @property
    def alarm(self) -> bool:
        """Whether an alarm has gone off that no opening has ended."""
        return self.alarm_at is not None

    @property
    def changed(self) -> bool:
        """Whether the last audits look worse than promised. It closes nothing: it is false once in CHANGE_EVERY audits."""
        return self.excess.change >= CHANGE_EVERY

    @property
    def word(self) -> Literal["holds", "changed", "alarm", "closed"]:
        """The state in one word."""
        if self.closed:
            return "closed"
        return "alarm" if self.alarm else "changed" if self.changed else "holds"

    @property
    def audits(self) -> int:
        """Audits of the threshold in force."""
        return sum(self.counts.values())

    @property
    def bad(self) -> int:
        """Bad ones among them."""
        return sum(count for (_, bad), count in self.counts.items() if bad)

    @property
    def error(self) -> float | None:
        """The weighted share of bad answers among those that the student gave; None without audits."""
        share = weighted_share(self.counts)
        return None if math.isnan(share) else share

    def interval(self) -> tuple[float, float]:
        """Of the error, at confidence 1 - delta, valid at all times while the error does not change."""
        return share_interval(self.counts, self.terms.delta)
