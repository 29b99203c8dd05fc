"""What of a teacher's thinking is trained on: nothing, what is short, all of it, or a mix (`curate.reasoning`).

A trace is kept whole or not at all: one that is cut teaches to stop in the middle. Students of up to some 3B parameters learn
less from long thinking than from short, and most from a mix of one part of long to four of short (Li and others, Small Models
Struggle to Learn from Strong Reasoners, 2502.12143). What a provider shows may be a summary: that is said, not hidden.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from distil.calls.providers.summaries import shows_summaries
from distil.curate.config import CurateConfig, Reasoning
from distil.curate.evidence.context import Fits
from distil.curate.evidence.corpus import Pair
from distil.formats.tokens import estimate
from distil.ids import drawn
from distil.records import Split

NONE = "without: the teacher showed none"
LONG = "without: over curate.reasoning_tokens"
UNREAD = "without: longer than the student reads"
SHORT, WHOLE = "short", "whole"


class Found(NamedTuple):
    """What of an answer's thinking is trained on."""

    text: str | None
    """All of it, or None."""
    why: str
    """WHOLE, SHORT, LONG, UNREAD or NONE."""


class Traces(NamedTuple):
    """The choice for one data set."""

    which: Reasoning
    tokens: int
    """The longest that is short."""
    share: float
    """Of the prompts whose whole thinking a mix keeps."""

    @classmethod
    def of(cls, section: CurateConfig) -> Traces:
        """As the config says."""
        return cls(section.reasoning, section.reasoning_tokens, section.reasoning_share)

    def whole(self, prompt_id: str) -> bool:
        """Whether all thinking for this prompt is kept, however long."""
        return self.which == "full" or (self.which == "mix" and place(prompt_id) < self.share)

    def shortens(self, prompt_id: str) -> bool:
        """Whether the shortest thinking of equal answers is wanted for this prompt."""
        return self.which in ("short", "mix") and not self.whole(prompt_id)

    def found(self, pair: Pair, fits: Fits | None = None) -> Found:
        """What of this answer's thinking is trained on. fits: whether the student reads all of it."""
        text = pair.answer.reasoning or ""
        if self.which == "drop" or not text.strip():
            return Found(None, NONE)
        whole = self.whole(pair.prompt.id)
        if not whole and estimate(text) > self.tokens:
            return Found(None, LONG)
        if fits is not None and not fits(pair):
            return Found(None, UNREAD)
        return Found(text, WHOLE if whole else SHORT)


class Kept(NamedTuple):
    """The thinking of a data set."""

    texts: dict[str, str]
    """Answer id -> its thinking; answers without are not there."""
    counts: dict[str, int]
    """Training examples by what became of it."""
    notes: list[str]
    """For a person."""


def place(prompt_id: str) -> float:
    """A number in [0, 1) that belongs to a prompt, evenly spread over prompts."""
    return drawn(f"reasoning/{prompt_id}", 7) / (1 << 56)


def keep_traces(
    section: CurateConfig, rows: Sequence[Pair], sides: Mapping[str, Split], fits: Fits | None = None
) -> Kept:
    """The thinking that is written, how much of it is trained on, and what it is not. Nothing where it is dropped."""
    traces = Traces.of(section)
    if traces.which == "drop":
        return Kept({}, {}, [])
    found = [(row, traces.found(row, fits)) for row in rows if row.prompt.id in sides]
    texts = {row.answer.id: kept.text for row, kept in found if kept.text is not None}
    trained = [(row.answer, kept) for row, kept in found if sides[row.prompt.id] == "train"]
    counts = Counter(kept.why for _, kept in trained)
    notes = []
    if trained and not counts[WHOLE] + counts[SHORT]:
        shown = counts[NONE] < len(trained)
        reason = "it is too long" if shown else "the teachers showed none (some do with sampling.reasoning_effort)"
        notes.append(f"curate.reasoning is {traces.which}, and no training answer keeps any thinking: {reason}")
    summarized = Counter(answer.teacher for answer, kept in trained if kept.text and shows_summaries(answer.teacher))
    for teacher, count in summarized.most_common(3):
        notes.append(
            f"the thinking of {count:,} training answers is a summary that {teacher} shows in place of it: the steps that led "
            "to an answer may be missing, so compare with curate.reasoning: drop"
        )
    return Kept(texts, {why: counts[why] for why in (WHOLE, SHORT, LONG, UNREAD, NONE) if counts[why]}, notes)
