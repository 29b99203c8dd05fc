"""What the judge of an evaluation said: the `judge` part of summary.json. The judging is in distil/evaluate/judge/."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from distil.records import Record
from distil.runs.schemas.interval import Interval


class JudgeReplies(Record):
    """What became of the single judgments that were asked for: each is in exactly one of the other counts."""

    asked: int
    """Judgments needed: two per pair and repeat."""
    read: int = 0
    """With a verdict."""
    refused: int = 0
    """The judge declined, or its provider filtered the reply."""
    unreadable: int = 0
    """A whole reply without a verdict, or with an ambiguous one."""
    cut_off: int = 0
    """The reply reached the token limit before its verdict."""
    failed: int = 0
    """No reply: an error, or never sent (the budget ended, the judge was gone)."""


class RubricSummary(Record):
    """Each answer scored alone on the user's rubric, student and teacher alike; scores are in [0, 1]."""

    rubric: list[str]
    """The rubric: one text (a score of 1 to 5; 1 is 0.0 and 5 is 1.0), or yes/no criteria (the share that is met)."""
    student: Interval
    """Mean score of the student's answers, over prompts where both were read."""
    teacher: Interval
    """Mean score of the teacher's answers to the same prompts."""
    difference: Interval
    """Student minus teacher."""


class PeopleSummary(Record):
    """The judge beside people who judged some of the same pairs."""

    marked: int
    """Judged pairs (rubric mode: answers) that a person marked too."""
    agreement: Interval
    """Share of those where judge and person say the same."""
    corrected: Interval | None = None
    """The win rate over all judged pairs, corrected by what people said (prediction-powered inference); None below 20 marks."""


class JudgeSummary(Record):
    """The judge's comparison of student and teacher. Nothing is concluded from it unless `usable`."""

    model: str
    """Who judged."""
    mode: Literal["pairwise", "rubric"] = "pairwise"
    """pairwise: which answer is better, in both orders; rubric: each answer scored alone."""
    pairs: int
    """Prompts with two answers to judge."""
    same: int = 0
    """Pairs of two equal answers: a tie without asking."""
    read: int
    """Pairs with a result: equal answers, or verdicts read in both orders (rubric: scores read for both answers)."""
    replies: JudgeReplies
    """What became of the single judgments."""
    repeats: int = 1
    """How often each judgment was asked for."""
    repeats_disagree: float | None = None
    """Share of the pairs whose result is not the same in all repeats: the judge's noise; None when it was asked once."""
    win_rate: Interval | None = None
    """Student's share of wins over the pairs read, a tie or a disagreement between the orders counting one half; None when
    none was read, and in rubric mode."""
    wins: int = 0
    """Pairs that the student won."""
    losses: int = 0
    """Pairs that the teacher won."""
    consistency: float | None = None
    """Share of the asked and read pairs with the same winner in both orders."""
    consistency_by_chance: float | None = None
    """What coin flips with the judge's own shares of first, second and tie would reach."""
    above_chance: float | None = None
    """(consistency - chance) / (1 - chance): the share of the pairs that the judge tells apart. All others pull the win rate
    towards one half, so a margin has to shrink with it."""
    consistency_p: float | None = None
    """One-sided exact binomial p value that the consistency is above chance."""
    first_slot: Interval | None = None
    """Share of single judgments that prefer the answer shown first: 0.5 is unbiased (ties left out)."""
    first_slot_p: float | None = None
    """Two-sided exact p value (sign test over pairs) that neither place is preferred."""
    longer_wins: float | None = None
    """Share of the decided pairs of unequal length that the longer answer won: 0.5 is unbiased."""
    length_controlled: Interval | None = None
    """The win rate at equal length (AlpacaEval 2); None where too few pairs are near equal length."""
    length_why: str | None = None
    """Why `length_controlled` is None."""
    rubric: RubricSummary | None = None
    """Rubric mode: the scores."""
    people: PeopleSummary | None = None
    """None when no judged pair was marked by a person."""
    usable: bool
    """Whether these judgments say anything about quality."""
    why_not: str | None = None
    """Why they don't; None when usable."""
    sentence: str
    """The result with its n and its gaps, for page and terminal."""
    details: list[str] = Field(default_factory=list)
    """Further lines for a person: order, repeats, length, people."""
    usd: float = 0.0
    """Paid to the judge now."""

    def lines(self) -> list[str]:
        """The sentence and the details, for terminal and page."""
        return [self.sentence, *self.details]


class Preference(Record):
    """What a person said about two answers to one prompt: a line of work/evaluate/people.jsonl."""

    pair_id: str
    """Hash of the prompt's id and both texts."""
    prompt_id: str
    """The prompt."""
    preferred: Literal["student", "teacher", "tie"]
    """Which answer is better."""
    reason: str
    """Why, in one line."""
