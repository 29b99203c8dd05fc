"""A log relabeled by a committee of teachers: how many must agree, and what that says about the log's own labels.

The log's answers are the prompts' references, as `distil prompts` loads them, and have no vote: whoever wants them to have one
names the log as a teacher (recorded/log.jsonl). A contradiction does not prove that the log is wrong: the teachers may share an
error, which is why examples are shown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from pydantic import Field

from distil.curate.choose import Choice, Grounds, Quorum
from distil.curate.evidence.corpus import Pair
from distil.curate.votes import final_of, reference_kind
from distil.errors import UserError
from distil.final_answer import SHOWN
from distil.records import Answer, Prompt, Record, Split
from distil.stats.shares import wilson_bounds
from distil.text import conversation_text, one_line, same_answer

EXAMPLES = 3
"""Contradictions that are shown."""
MOST_FREQUENT = 3
"""Pairs of labels that are named."""
PROMPT_SHOWN = 120
"""Characters of an example's prompt."""
_PRIVATE = {"secrets", "personal_data"}  # signals of prompts that are not shown


class Contradicted(Record):
    """One label of the log that the committee contradicts; one line each, ready to be shown."""

    prompt_id: str
    """The prompt."""
    prompt: str
    """Its beginning."""
    log: str
    """What the log says."""
    committee: str
    """What the committee says, and how many of it."""


class Exchanged(Record):
    """What the log says and what the committee says instead."""

    log: str
    """The log's label."""
    committee: str
    """The committee's."""
    count: int
    """For how many prompts."""


class CommitteeReport(Record):
    """How far the teachers agree with each other, and with the labels of the log."""

    agree: int
    """Answers that had to come to the same."""
    seats: int
    """Answers that a prompt should have: teachers x samples."""
    prompts: int
    """Prompts with an answer."""
    agreed: int
    """Those on which the committee agrees."""
    compared: int
    """Those of the agreed that have a label of the log with a result to compare."""
    contradicted: int
    """Labels of the log that are not what the committee agrees on."""
    low: float | None = None
    """Wilson's 95% interval of the share contradicted, lower end; None = nothing was compared."""
    high: float | None = None
    """Its upper end."""
    frequent: list[Exchanged] = Field(default_factory=list)
    """The most frequent contradictions."""
    examples: list[Contradicted] = Field(default_factory=list)
    """Of the first contradictions."""

    def rows(self) -> list[tuple[str, str]]:
        """(name, value) pairs for a table."""
        share = self.agreed / max(1, self.prompts)
        found = [
            (
                "the committee agrees",
                f"on {self.agreed:,} of {self.prompts:,} prompts ({share:.0%}; {self.agree} of {self.seats} answers)",
            )
        ]
        if self.low is not None and self.high is not None:
            value = (
                f"{self.contradicted:,} of {self.compared:,} ({self.contradicted / self.compared:.1%}, "
                f"95% {self.low:.1%} to {self.high:.1%})"
            )
            found.append(("it contradicts the log's label", value))
        if self.frequent:
            found.append(("most often", "; ".join(f"{e.log} → {e.committee} ({e.count:,})" for e in self.frequent)))
        found += [("for example", f"“{e.prompt}”: the log says {e.log}, and {e.committee}") for e in self.examples]
        return found


def call_committee(pairs: Sequence[Pair], agree: int | None) -> Quorum:
    """How many of how many answers must agree. pairs: all answers that were collected, dropped ones too.

    Raises UserError as `quorum_of` does.
    """
    seats = {
        (answer.teacher, answer.sampling, answer.sample) for _, answer in pairs
    }  # one model may be asked in two ways
    return quorum_of(len(seats), agree)


def quorum_of(seats: int, agree: int | None) -> Quorum:
    """How many of `seats` answers must agree. agree: None = more than half.

    Raises UserError for a committee of one, and where more must agree than there are.
    """
    if seats < 2:
        raise UserError(
            "curate.choose is committee, and each prompt has one answer. Add teachers under `teachers:` (better of several "
            "vendors: samples of one model share its errors), or set collect.samples: 3, and run `distil collect`."
        )
    least = seats // 2 + 1 if agree is None else agree
    if least > seats:
        raise UserError(
            f"curate.agree: found {least}, and each prompt has {seats} answers at most. Expected 2 to {seats}: set "
            f"curate.agree: {seats}, or add teachers."
        )
    return Quorum(least, seats)


def report_committee(pairs: Sequence[Pair], choices: Mapping[str, Choice], grounds: Grounds) -> CommitteeReport:
    """Counts agreement and contradictions; prompts with a person's mark are left out.

    grounds.signals: `reference` of each answer (references.py).
    """
    assert grounds.quorum is not None
    agreed = [choice for choice in choices.values() if choice.training and choice.training[0].id not in grounds.good]
    frequent: Counter[tuple[str, str]] = Counter()
    examples: list[Contradicted] = []
    compared = 0
    for choice in agreed:
        answer = choice.training[0]
        contradicts = _contradicts(choice.prompt, answer, grounds)
        compared += contradicts is not None
        if not contradicts:
            continue
        log = one_line(choice.prompt.reference or "", SHOWN)
        frequent[log, final_of(choice.prompt, answer, grounds.task).shown] += 1
        if len(examples) < EXAMPLES and not _PRIVATE & grounds.signals[answer.id].keys():
            asked = one_line(conversation_text(choice.prompt.messages), PROMPT_SHOWN)
            examples.append(Contradicted(prompt_id=choice.prompt.id, prompt=asked, log=log, committee=choice.reason))
    contradicted = frequent.total()
    low, high = wilson_bounds(contradicted, compared) if compared else (None, None)
    return CommitteeReport(
        agree=grounds.quorum.least,
        seats=grounds.quorum.seats,
        prompts=len({pair.prompt.id for pair in pairs}),
        agreed=len(agreed),
        compared=compared,
        contradicted=contradicted,
        low=low,
        high=high,
        frequent=[
            Exchanged(log=log, committee=said, count=count)
            for (log, said), count in frequent.most_common(MOST_FREQUENT)
            if count > 1
        ],
        examples=examples,
    )


def _contradicts(prompt: Prompt, answer: Answer, grounds: Grounds) -> bool | None:
    """Whether an answer is another result than the log's; None where the log has none that could be compared.

    In a classification names of classes that are too long for a label are compared as texts. Open texts are not: that two of them
    are equal says something, but that they are not says nothing.
    """
    if reference_kind(prompt.reference, grounds.task.labels) == "text":
        return not same_answer(answer.text, prompt.reference) if prompt.reference and grounds.task.labels else None
    match = grounds.signals.get(answer.id, {}).get("reference")
    return match.value < 1 if match is not None else None


def held_out_without_agreement(choices: Mapping[str, Choice], sides: Mapping[str, Split]) -> list[str]:
    """One line for a person where answers of held-out prompts are not agreed on; nothing unless a committee chose."""
    test = [choices[id_] for id_, side in sides.items() if side == "test" and id_ in choices]
    open_ = sum(choice.dropped_as == "committee" for choice in test)
    if not open_:
        return []
    return [
        f"{open_:,} of {len(test):,} test prompts have no agreement: they stay, with the majority's answer, because a test of "
        "agreed prompts alone would be too easy"
    ]


def without_references(rows: Sequence[Pair]) -> list[Pair]:
    """The rows without what a log said about them."""
    return [Pair(row.prompt.model_copy(update={"reference": None}), row.answer) for row in rows]
