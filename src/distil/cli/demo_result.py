"""What `distil demo` prints at the end: the models on both kinds of test messages, the verdict, the bill, the page.

Reads what the stages wrote; runs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from distil.cli.options import dollars, echo, table

if TYPE_CHECKING:
    from distil.runs.artifacts import Project
    from distil.runs.schemas.cost import Option
    from distil.runs.schemas.interval import Interval
    from distil.runs.schemas.summary import Slice, Summary

METRIC = "field_accuracy"


class Row(NamedTuple):
    """One model."""

    model: str
    """teacher, base or a student's name."""
    known: Interval | None
    """Share of the fields that are right, on messages like those of training."""
    unseen: Interval | None
    """The same in wordings that training never saw."""
    parameters: int | None
    tokens_per_second: float | None


class DemoResult(NamedTuple):
    """The figures of the demo."""

    rows: list[Row]
    student: str
    """The student that the decision is about."""
    decision: str
    sentence: str
    prompts: int
    """Test messages that the decision is based on."""
    spent_usd: float
    per_million: dict[str, float | None]
    """$ per million requests: teacher, student."""
    payback: str
    findings: list[str]
    """What the doctor warns of."""
    report: Path


def headline(project: Project) -> Summary:
    """The student that the decision, the bill and the first screen of the page are about."""
    from distil.doctor.evidence import Evidence
    from distil.report.facts import pick_headline

    evidence = Evidence(project)
    chosen = pick_headline(evidence.summaries, tuple(evidence.baselines))
    assert chosen is not None, "the demo evaluated its students"
    return chosen


def gather(project: Project, students: Sequence[str]) -> DemoResult:
    """Reads the figures. Raises UserError when a stage has not run."""
    from distil.doctor import checks
    from distil.runs.jsonl import read_document
    from distil.runs.schemas.cost import CostSummary
    from distil.runs.schemas.summary import read_summary

    summaries = [read_summary(project.summary(name)) for name in students]
    best = headline(project)
    cost = read_document(project.cost, CostSummary, command="distil cost")
    return DemoResult(
        rows=_rows(summaries),
        student=best.name,
        decision=best.verdict.decision,
        sentence=best.verdict.sentence,
        prompts=best.test_prompts,
        spent_usd=cost.one_time_usd,
        per_million=cost.per_million_requests,
        payback=_payback(cost.options, best.verdict.decision),
        findings=[finding.seen for finding in checks.run(project) if finding.level in ("warn", "problem")],
        report=project.report,
    )


def _rows(summaries: Sequence[Summary]) -> list[Row]:
    """The teacher and the base once, then each student."""
    first, apart = summaries[0], _apart(summaries[0])
    rows = [_row(first, "teacher", apart.other if apart else None), _row(first, "base", None)]
    for summary in summaries:
        own = _apart(summary)
        rows.append(_row(summary, summary.name, own.student if own else None))
    return rows


def _row(summary: Summary, model: str, unseen: Interval | None) -> Row:
    size, speed = summary.size.get(model), summary.speed.get(model)
    return Row(
        model=model,
        known=summary.models.get(model, {}).get(METRIC),
        unseen=unseen,
        parameters=size.parameters if size else None,
        tokens_per_second=speed.tokens_per_second if speed else None,
    )


def _apart(summary: Summary) -> Slice | None:
    """The messages in unseen wordings."""
    return next((part for part in summary.slices if part.set_apart), None)


def _payback(options: Sequence[Option], decision: str) -> str:
    """Of the way of serving that the decision asks for: the student alone, or with the teacher behind it."""
    fallback = decision == "SHIP WITH FALLBACK"
    chosen = next(option for option in options if option.coverage > 0 and (option.coverage < 1) == fallback)
    return f"{chosen.payback} ({chosen.name})"


def show(result: DemoResult, what: Mapping[str, str]) -> None:
    """Prints the table, then what follows from it. `what`: each student in a few words."""
    lines = [
        (
            f"{row.model}: {what[row.model]}" if row.model in what else NAMES[row.model],
            _share(row.known),
            _share(row.unseen),
            "-" if row.parameters is None else f"{row.parameters / 1e6:.1f}M",
            "-" if row.tokens_per_second is None else f"{row.tokens_per_second:,.0f}",
        )
        for row in result.rows
    ]
    table("Fields right", ("", "new messages", "unseen wordings", "size", "tokens/s"), lines)
    echo(result.decision, bold=True, nl=False)
    echo(f" ({result.student}): {result.sentence}")
    if shift := _shift(result):
        echo(shift)
    prices = {name: "?" if usd is None else dollars(usd) for name, usd in result.per_million.items()}
    echo(
        f"Bill: {prices['teacher']} per million requests with the teacher, {prices['student']} with {result.student} at the "
        f"example prices. The teacher's answers cost {dollars(result.spent_usd)}; payback: {result.payback}."
    )
    if result.findings:
        echo(f"`distil doctor` has {len(result.findings)} things to look at; the first: {result.findings[0]}")
    echo(f"Page: {result.report}")


NAMES = {"teacher": "teacher", "base": "student before training"}


def _shift(result: DemoResult) -> str | None:
    """What the messages in unseen wordings say; None when they were not measured."""
    rows = {row.model: row for row in result.rows}
    student, teacher = rows[result.student], rows["teacher"]
    if not (student.known and student.unseen and teacher.known and teacher.unseen):
        return None
    return (
        f"What a shift costs: in wordings that training never saw, {result.student} gets {student.unseen.mean:.1%} of the fields "
        f"right instead of {student.known.mean:.1%}, the teacher {teacher.unseen.mean:.1%} instead of {teacher.known.mean:.1%}. "
        "These messages do not count for the decision: it holds for requests like those of training. When requests change, "
        "collect some of the new kind and train again."
    )


def _share(share: Interval | None) -> str:
    if share is None:
        return "-"
    if share.low is None or share.high is None:
        return f"{share.mean:.1%}"
    return f"{share.mean:.1%} [{share.low * 100:.1f}, {share.high * 100:.1f}]"
