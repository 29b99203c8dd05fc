"""`distil evaluate --md`: the evaluation in a page of Markdown, for a pull request or a CI summary."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from distil.evaluate.exports.finished import Finished, command
from distil.runs.schemas.decision import Deciding
from distil.runs.schemas.interval import Interval
from distil.runs.schemas.summary import Slice, Summary
from distil.text import visible

WORST_SLICES = 5


def markdown(finished: Finished) -> str:
    """Verdict, one table, the worst slices, what comes next, and how to do it again."""
    summary = finished.summary
    parts = [
        f"## {_cell(summary.name)}: {summary.verdict.decision}",
        _sentence(summary.verdict.sentence),
        _counts(summary),
        _table(*_metrics(summary)),
        *_slices(summary),
        *_list("Next", summary.verdict.next_steps),
        *_list("Notes", summary.notes),
        *_again(finished),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _counts(summary: Summary) -> str:
    independent = f" in {summary.clusters:,} independent groups" if summary.clusters < summary.test_prompts else ""
    apart = f", {summary.set_apart:,} more are shown only as a slice" if summary.set_apart else ""
    teachers = ", ".join(summary.teachers) or "the teacher"
    looks = summary.looks
    corrected = f", {looks.correction}" if looks.correction else ""
    return _cell(
        f"{summary.test_prompts:,} test prompts{independent}{apart}. Teacher: {teachers}. Intervals: {summary.confidence:.0%}. "
        f"Used so far for {_count(looks.students, 'student')} in {_count(looks.runs, 'evaluation')}{corrected}."
    )


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _metrics(summary: Summary) -> tuple[list[str], list[list[str]]]:
    """The deciding metric first, then the guards, then the rest."""
    names = {"teacher": "teacher", "ceiling": "teacher again", summary.name: summary.name, "base": "base"}
    models = [model for model in names if model in summary.models]
    guards = [guard.metric for guard in summary.guards]
    outcome = {guard.metric: f"guard, {guard.outcome}" for guard in summary.guards}
    first = [summary.primary, *guards]
    order = [metric for metric in first if metric in summary.metrics]
    order += [metric for metric in summary.metrics if metric not in first]
    rows = [
        [
            _cell(summary.metrics[metric].label),
            *(_interval(summary.models[model].get(metric)) for model in models),
            "**decides**" if metric == summary.primary else outcome.get(metric, ""),
        ]
        for metric in order
    ]
    if summary.primary == "judge" and summary.deciding is not None:
        rows.insert(0, _judged(summary.deciding, models, summary.name))
    return ["metric", *(_cell(names[model]) for model in models), ""], rows


def _judged(test: Deciding, models: Sequence[str], name: str) -> list[str]:
    return [_cell(test.label), *(_interval(test.student) if model == name else "-" for model in models), "**decides**"]


def _slices(summary: Summary) -> Iterator[str]:
    shown = [part for part in summary.slices if part.set_apart]
    lost = [part for part in summary.slices if not part.set_apart and _lost(summary, part)]
    shown += lost[:WORST_SLICES]
    if shown:
        yield "### Where it loses"
        yield _table(["prompts", "n", "student", "teacher", "difference", "p (Holm)"], [_slice(part) for part in shown])


def _lost(summary: Summary, part: Slice) -> bool:
    """Worse than the teacher there; where nothing can be compared, worse there than on all prompts."""
    if part.difference is not None:
        return part.difference.mean < 0
    overall = summary.models.get(summary.name, {}).get(summary.primary)
    return overall is not None and part.student.mean < overall.mean


def _slice(part: Slice) -> list[str]:
    name = f"{part.field}: {part.name}" + (" (set apart)" if part.set_apart else "")
    p = "" if part.p_corrected is None else f"{part.p_corrected:.2g}"
    return [
        _cell(name), f"{part.prompts:,}", _interval(part.student), _interval(part.other), _interval(part.difference, "+"), p
    ]  # fmt: skip


def _again(finished: Finished) -> Iterator[str]:
    manifest = finished.manifest
    yield "### Again"
    yield f"```\n{visible(command(finished))}\n```"
    if manifest is not None:
        tests = {path: stamp.sha256[:12] for path, stamp in manifest.inputs.items() if path.endswith(".jsonl")}
        files = ", ".join(f"{path} {sha}" for path, sha in tests.items())
        yield _cell(
            f"Distil {manifest.tool_version}, {manifest.finished[:16].replace('T', ' ')} UTC. Inputs (sha256): {files}."
        )


def _list(title: str, lines: Sequence[str]) -> Iterator[str]:
    if lines:
        yield f"### {title}"
        yield "\n".join(f"- {_sentence(line)}" for line in lines)


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    rule = ["---", *("---:" for _ in columns[1:])]
    return "\n".join("| " + " | ".join(row) + " |" for row in (columns, rule, *rows)) if rows else ""


def _interval(interval: Interval | None, sign: str = "") -> str:
    if interval is None:
        return "-"
    if interval.low is None or interval.high is None:
        return f"{interval.mean:{sign}.3f}"
    return f"{interval.mean:{sign}.3f} ({interval.low:{sign}.3f} to {interval.high:{sign}.3f})"


def _cell(text: str) -> str:
    """One line that is neither markup nor HTML, whatever a name or a column says."""
    line = " ".join(visible(text).split()).replace("\\", "\\\\")
    for mark in "|`*_[]#~":
        line = line.replace(mark, f"\\{mark}")
    return line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _sentence(text: str) -> str:
    """One line in which commands between backticks stay commands."""
    pieces = " ".join(visible(text).split()).split("`")
    if len(pieces) % 2 == 0:
        return _cell(text)
    return "".join(f"`{piece}`" if index % 2 else _cell_keep(piece) for index, piece in enumerate(pieces))


def _cell_keep(piece: str) -> str:
    """`_cell` that keeps the blanks at both ends."""
    left, right = piece[: len(piece) - len(piece.lstrip())], piece[len(piece.rstrip()) :]
    return f"{left}{_cell(piece)}{right}" if piece.strip() else piece
