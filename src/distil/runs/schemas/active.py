"""work/active/: which prompts `distil collect --active` chose, round by round, and which prompts may be held out since then.

Prompts that were chosen because a student was unsure are harder than others, and those that are left are easier: a test or
validation set with either would say nothing about production. So only prompts that were drawn at random may be held out.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple

from distil.ids import stable_hash
from distil.records import Record
from distil.runs.jsonl import read_records

How = Literal["random", "uncertainty"]


class ActiveRound(Record):
    """One round: written before its prompts are asked, so that a run that was killed goes on with the same ones."""

    number: int
    """From 1. The first is random."""
    how: How
    """random, or by the uncertainty of a student of the answers so far."""
    why: str = ""
    """Why it is random, for a person."""
    asked: int
    """Prompts that it chose."""
    limit: int
    """Prompts to ask in all rounds together, as the command said."""
    coming: tuple[int, ...] = ()
    """Prompts of each round after this one, as planned."""
    below: float
    """Prompts whose hash is below it were all asked in the first round: they, and later ones like them, may be held out."""
    seed: int
    """Of the hash."""
    train_rows: int | None = None
    """Rows that the student learned; None = there was none."""
    metric: str | None = None
    """What it was measured by on the validation prompts."""
    score: float | None = None
    """Its mean there."""
    ranking: float | None = None
    """Share of pairs of validation answers, one of them better, in which it was less sure of the worse one; 0.5 = chance."""
    scored: int | None = None
    """Prompts that it answered, from which the round was chosen."""
    pool_uncertainty: float | None = None
    """Mean over those."""
    asked_uncertainty: float | None = None
    """Mean over the chosen ones."""


class Chosen(Record):
    """One prompt that a round chose, or that had an answer before the first one."""

    prompt_id: str
    """The prompt."""
    round: int
    """0 = it had an answer before the first round."""
    how: How
    """random (then it may be held out if it is of round 0 or 1), or uncertainty."""
    probability: float | None = None
    """With which it was chosen among those that were scored; None = in rounds 0 and 1."""
    uncertainty: float | None = None
    """1 - the student's confidence in its own answer."""


class MayHoldOut(NamedTuple):
    """Who may be held out, since prompts were chosen by what a student knew."""

    drawn: frozenset[str]
    """Ids of the prompts that were there before, or that the first round drew."""
    below: float
    seed: int
    others: int
    """Prompts of the rounds after the first one, there or still to come."""

    def allows(self, prompt_id: str) -> bool:
        """Whether nothing but chance brought this prompt into the data. Of prompts that are loaded later, it is a random part."""
        return prompt_id in self.drawn or stable_hash(self.seed, PURPOSE, prompt_id) < self.below


PURPOSE = "active"
"""Of the hash that orders the prompts at random."""


def read_rounds(path: Path) -> list[ActiveRound]:
    """The rounds so far; none without a file."""
    return list(read_records(path, ActiveRound)) if path.exists() else []


def read_chosen(path: Path, rounds: int) -> list[Chosen]:
    """What the rounds chose; lines of a round that is not in rounds.jsonl yet do not count: it was killed before it was asked."""
    return [line for line in read_records(path, Chosen) if line.round <= rounds] if path.exists() else []


def may_hold_out(rounds: Path, chosen: Path) -> MayHoldOut | None:
    """None = nothing was chosen actively here."""
    done = read_rounds(rounds)
    if not done:
        return None
    drawn = frozenset(line.prompt_id for line in read_chosen(chosen, 1))
    return MayHoldOut(drawn, done[0].below, done[0].seed, max(0, done[-1].limit - done[0].asked))
