"""`distil collect --pilot`: is this teacher good enough to learn from? Asked on a few prompts before all of them are paid for.

Measured on the references at hand, by what an answer comes to (label, number, JSON), else on a second answer of the teacher: one
that contradicts itself teaches noise. References that nobody checked (`curate.references`) judge no teacher: how often it agrees
with them is said beside the rest. The answers are kept, so they cost nothing when the rest is collected.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

from distil.calls.config import TeacherConfig
from distil.collect import stage
from distil.collect.config import CollectConfig
from distil.collect.questions import plan_questions
from distil.curate.evidence.corpus import Pair, describe_corpus
from distil.curate.references import reference
from distil.curate.votes import describe_task, final_of
from distil.errors import UserError
from distil.evaluate.stats import wilson
from distil.final_answer import same_final
from distil.ids import drawn
from distil.records import Answer, Prompt
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_records
from distil.text import one_line, same_answer

LEAST = 10
"""Prompts with a reference from which a teacher is measured on them."""
RETHINK, GOOD = 0.6, 0.8
"""Shares that distil labs recommends for a teacher: below 0.60 think again, below 0.80 improve the prompt first."""
SHOWN = 3
LENGTH = 60

Measure = Literal["references", "itself"]


class Difference(NamedTuple):
    """An answer that is not what it should be."""

    prompt: str
    answer: str
    expected: str


class Agreement(NamedTuple):
    """How often two results are the same."""

    compared: int
    """Prompts where the two could be compared by value."""
    agree: int
    share: float | None
    """agree / compared; None = nothing could be compared."""
    low: float | None
    """95% interval (Wilson)."""
    high: float | None

    @classmethod
    def of(cls, verdicts: Sequence[bool | None]) -> Agreement:
        """Of one verdict for each prompt; None = can't be compared."""
        compared = [verdict for verdict in verdicts if verdict is not None]
        if not compared:
            return cls(0, 0, None, None, None)
        agree = sum(compared)
        bounds = wilson(agree, len(compared))
        return cls(len(compared), agree, agree / len(compared), bounds.low, bounds.high)

    def of_prompts(self, asked: int) -> str:
        """For a table."""
        found = "nothing could be compared"
        if self.share is not None:
            found = f"{self.share:.0%} ({self.low:.0%} to {self.high:.0%})"
        return f"{found}, {self.compared:,} of {asked:,} prompts"


class Pilot(NamedTuple):
    """What a few answers say about one teacher."""

    teacher: str
    measured_on: Measure
    """references: against the prompts' own; itself: against a second answer."""
    prompts: int
    """That were asked."""
    compared: int
    """Of those, where the two could be compared by value."""
    agree: int
    share: float | None
    """agree / compared; None = nothing could be compared."""
    low: float | None
    """95% interval (Wilson)."""
    high: float | None
    differences: list[Difference]
    """The first few."""
    advice: str
    log: Agreement | None = None
    """With references that nobody checked: how often it says the same. Either may be wrong where not. None = there are none."""

    def rows(self) -> list[tuple[str, str]]:
        """(name, value) pairs for a table."""
        versus = "the references" if self.measured_on == "references" else "its own second answers"
        found = Agreement(self.compared, self.agree, self.share, self.low, self.high)
        rows = [("teacher", self.teacher), (f"agrees with {versus}", found.of_prompts(self.prompts))]
        if self.log is not None:
            said = f"{self.log.of_prompts(self.prompts)}; nobody checked them, so either may be wrong"
            rows.append(("agrees with the log's labels", said))
        for case in self.differences:
            rows.append((case.prompt, f"{case.answer}  (expected {case.expected})"))
        return [*rows, ("advice", self.advice)]


def run(
    project: Project,
    section: CollectConfig,
    teachers: Sequence[TeacherConfig],
    count: int,
    *,
    unchecked: bool = False,
) -> list[Pilot]:
    """Asks each teacher for `count` prompts (what the ledger holds costs nothing) and compares the answers.

    unchecked: the references are only what a log said. Raises UserError without prompts, and what `distil collect` raises;
    then nothing that was answered is lost.
    """
    if not project.prompts.exists():
        raise UserError("There are no prompts yet. Load them first: `distil prompts load`.")
    with_reference = _chosen((p for p in read_records(project.prompts, Prompt) if (p.reference or "").strip()), count)
    enough = len(with_reference) >= min(LEAST, count)
    measured_on: Measure = "references" if enough and not unchecked else "itself"
    prompts = with_reference if enough else _chosen(read_records(project.prompts, Prompt), count)
    if measured_on == "itself":
        section = section.model_copy(update={"samples": max(2, section.samples)})
    ids = {prompt.id for prompt in prompts}
    samples = 1 if measured_on == "references" else 2
    questions = [
        question
        for question in plan_questions(project, teachers, section.samples)
        if question.prompt.id in ids and question.sample < samples
    ]
    wanted = frozenset(question.answer_id for question in questions)
    kept = _answers(project, wanted)
    if len(kept) < len(wanted):
        stage.run(project, section, teachers, only=wanted, limit=count)
        kept = _answers(project, wanted)
    found = []
    for teacher in teachers:  # one model may be asked in two ways
        given: dict[str, list[Answer]] = defaultdict(list)
        for question in questions:
            if question.teacher is teacher and question.answer_id in kept:
                given[question.prompt.id].append(kept[question.answer_id])
        found.append(_measured(teacher, measured_on, prompts, given, with_log=enough and unchecked))
    return found


def _chosen(prompts: Iterable[Prompt], count: int) -> list[Prompt]:
    """The same ones every time, whatever their order in the file; those marked as test prompts only where there are no others."""

    def order(prompt: Prompt) -> tuple[bool, int]:
        return prompt.split == "test", drawn(prompt.id)

    return heapq.nsmallest(count, prompts, key=order)


def _answers(project: Project, wanted: frozenset[str]) -> dict[str, Answer]:
    """Those of the collected answers, by id."""
    every = read_records(project.answers, Answer) if project.answers.exists() else ()
    return {answer.id: answer for answer in every if answer.id in wanted}


def _against_references(pairs: Sequence[Pair]) -> list[bool | None]:
    """Whether each answer comes to its prompt's reference; None = can't be told."""
    found = reference(pairs, describe_corpus(pairs)) if pairs else []
    return [None if signal is None else signal.value >= 1 for signal in found]


def _measured(
    teacher: TeacherConfig,
    measured_on: Measure,
    prompts: Sequence[Prompt],
    given: Mapping[str, Sequence[Answer]],
    *,
    with_log: bool,
) -> Pilot:
    answered = [
        (prompt, sorted(given[prompt.id], key=lambda a: a.sample)) for prompt in prompts if given.get(prompt.id)
    ]
    pairs = [Pair(prompt, answers[0]) for prompt, answers in answered]
    if measured_on == "references":
        verdicts = _against_references(pairs)
        expected = [prompt.reference or "" for prompt, _ in answered]
    else:
        twice = [(prompt, answers) for prompt, answers in answered if len(answers) > 1]
        pairs = [Pair(prompt, answers[0]) for prompt, answers in twice]
        task = describe_task([Pair(prompt, answer) for prompt, answers in twice for answer in answers])
        verdicts = []
        for prompt, (first, second, *_) in twice:
            finals = final_of(prompt, first, task), final_of(prompt, second, task)
            same = same_answer(first.text, second.text, first.tool_calls, second.tool_calls) or same_final(*finals)
            verdicts.append(None if task.kind(prompt.id) == "text" else same)
        expected = [answers[1].text for _, answers in twice]
    log = Agreement.of(_against_references(pairs)) if with_log else None
    return _pilot(teacher.model, measured_on, len(prompts), pairs, verdicts, expected)._replace(log=log)


def _pilot(
    teacher: str,
    measured_on: Measure,
    asked: int,
    pairs: Sequence[Pair],
    verdicts: Sequence[bool | None],
    expected: Sequence[str],
) -> Pilot:
    found = Agreement.of(verdicts)
    differences = [
        Difference(
            one_line(p.prompt.messages[-1].text, LENGTH), one_line(p.answer.text, LENGTH), one_line(wanted, LENGTH)
        )
        for p, verdict, wanted in zip(pairs, verdicts, expected, strict=True)
        if verdict is False
    ][:SHOWN]
    return Pilot(teacher, measured_on, asked, *found, differences, _advice(measured_on, found.share, found.high))


def _advice(measured_on: Measure, share: float | None, high: float | None) -> str:
    if share is None or high is None:
        return (
            "Open answers can't be compared by value: read some with `distil view`, or give the prompts a `reference` that is a "
            "label, a number or JSON."
        )
    yours = "your own labels" if measured_on == "references" else "its own second answer"
    if high < RETHINK:
        return (
            f"Your teacher reaches {share:.2f} on {yours}, and a student learns what it says: change the prompt, or "
            "the teacher, before you collect the rest."
        )
    if share < GOOD:
        return f"It reaches {share:.2f} on {yours}: read the differences and improve the prompt first; more prompts tell more."
    return "Good enough to learn from. Collect the rest: distil collect"
