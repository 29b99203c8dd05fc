"""`distil evaluate`: is the student good enough?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from distil.cli import completion
from distil.cli.options import Context, distil_command, echo, say, table

if TYPE_CHECKING:
    from distil.config import Config
    from distil.evaluate.given import Elsewhere
    from distil.runs.schemas.summary import Summary

_PATH = click.Path(path_type=Path)
COLORS = {"SHIP": "green", "SHIP WITH FALLBACK": "yellow", "DO NOT SHIP": "red", "NOT DECIDED": "cyan"}


@distil_command("distil evaluate --answers vicuna.jsonl --as vicuna --project mytask")
@click.argument("name", required=False, shell_complete=completion.students)
@click.option(
    "--answers",
    multiple=True,
    metavar="SOURCE",
    help="Answers of a student that was not trained here: a file, http://HOST/v1#NAME, or PROVIDER/NAME. Repeatable.",
)
@click.option(
    "--as", "names", multiple=True, metavar="NAME", help="A name for the student of each --answers, in order."
)
@click.option(
    "--gate",
    metavar="VERDICT",
    help="For CI: exit code 4 unless the verdict is at least SHIP, SHIP WITH FALLBACK or NOT DECIDED.",
)
@click.option("--force", is_flag=True, help="Evaluate again even if nothing has changed.")
@click.option("--md", metavar="FILE", help="Write a summary in Markdown, for a pull request (- = on stdout).")
@click.option("--inspect", type=_PATH, metavar="FILE", help="Write a log for inspect_ai (FILE.eval, or FILE.json).")
@click.option("--lm-eval", type=_PATH, metavar="DIR", help="Write results and samples as lm-evaluation-harness does.")
def command(
    context: Context,
    name: str | None,
    answers: tuple[str, ...],
    names: tuple[str, ...],
    gate: str | None,
    force: bool,
    **exports: str | Path | None,
) -> None:
    """Compare student NAME (default: as in `distil status`) with its teacher and the baseline on held-out prompts."""
    from distil.errors import UserError
    from distil.evaluate.gate import check_gate, parse_gate

    wanted = parse_gate(gate) if gate is not None else None
    if exports["md"] == "-" and context.as_json:
        raise UserError("Both --json and --md - write to stdout. Give the Markdown a file: --md summary.md.")
    config = context.config()
    students = _students(context, name, answers, names)
    summaries = []
    for index, (student, source) in enumerate(students):
        coming = [later for later, _ in students[index + 1 :]]
        summaries.append(_evaluate(context, config, student, source, coming, force))
    results = summaries if len(summaries) > 1 else summaries[0]
    if exports["md"] != "-":
        context.emit(results, lambda: show_all(summaries))
    _export(context, [summary.name for summary in summaries], **exports)
    if wanted is not None:
        check_gate(wanted, summaries)


def _students(
    context: Context, name: str | None, answers: tuple[str, ...], names: tuple[str, ...]
) -> list[tuple[str, Elsewhere | None]]:
    """(name, where its answers come from) of each student to evaluate. Raises UserError when names and sources do not fit."""
    from distil.cli.students import pick_evaluable
    from distil.errors import UserError
    from distil.evaluate.given import check_name, elsewhere

    if not answers:
        if names:
            raise UserError(
                f"--as {names[0]} names the student of --answers, which is missing. Expected --answers FILE."
            )
        return [(pick_evaluable(context, name), None)]
    if name is not None:
        raise UserError(f"Found both the student {name!r} and --answers. Give its name as --as {name}.")
    if names and len(names) != len(answers):
        raise UserError(
            f"Found {len(answers)} times --answers and {len(names)} times --as; expected one --as for each."
        )
    sources = [elsewhere(text, context.project) for text in answers]
    chosen = [check_name(text) for text in names] or [source.name for source in sources]
    twice = next((text for index, text in enumerate(chosen) if text in chosen[:index]), None)
    if twice is not None:
        raise UserError(
            f"Two of the students would be called {twice!r}. Name each with --as, in the order of --answers."
        )
    return list(zip(chosen, sources, strict=True))


def _evaluate(
    context: Context, config: Config, name: str, answers: Elsewhere | None, coming: list[str], force: bool
) -> Summary:
    """One student's summary, made now or, when nothing has changed, an earlier one."""
    from distil.evaluate import stage

    project, section, teachers, student = context.project, config.evaluate, config.teachers, config.student
    if not force:
        known = stage.unchanged(
            project, section, name=name, teachers=teachers, student=student, answers=answers, coming=coming
        )
        if known is not None:
            say(f"{name}: nothing has changed since its last evaluation, which is shown again (--force does it again).")
            return known
    return stage.run(project, section, name=name, teachers=teachers, student=student, answers=answers, coming=coming)


def _export(
    context: Context, names: list[str], md: str | Path | None, inspect: str | Path | None, lm_eval: str | Path | None
) -> None:
    """Writes what --md, --inspect and --lm-eval ask for. A log of inspect_ai holds one student: several get a file each."""
    if md is None and inspect is None and lm_eval is None:
        return
    from distil.evaluate.exports.finished import read_finished
    from distil.evaluate.exports.inspect_log import write_inspect
    from distil.evaluate.exports.lm_eval import write_lm_eval
    from distil.evaluate.exports.markdown import markdown
    from distil.runs.jsonl import write_lines

    finished = [read_finished(context.project, name) for name in names]
    if md is not None:
        pages = [markdown(one) for one in finished]
        if md == "-":
            echo("\n".join(pages), nl=False)
        else:
            write_lines(Path(md), "\n".join(pages).splitlines())
            say(f"Wrote {md}.")
    for one in finished if inspect is not None else []:
        path = Path(inspect or "")
        path = path.with_name(f"{path.stem}-{one.summary.name}{path.suffix}") if len(finished) > 1 else path
        say(f"Wrote {path}: {write_inspect(one, path):,} samples. See it with `inspect view --log-dir {path.parent}`.")
    for one in finished if lm_eval is not None else []:
        say(f"Wrote {' and '.join(str(path) for path in write_lm_eval(one, Path(lm_eval or '')))}.")


def show_all(summaries: Sequence[Summary]) -> None:
    """One after the other."""
    for summary in summaries:
        show(summary)


def show(summary: Summary) -> None:
    """A table of metrics by model, the verdict, and the remarks."""
    rows = summary.rows()
    title = f"{summary.name} on {summary.test_prompts:,} held-out prompts, {summary.confidence:.0%} intervals"
    table(title, list(rows[0]) if rows else ("metric",), [list(row.values()) for row in rows])
    decision = summary.verdict.decision
    echo(decision, fg=COLORS[decision], bold=True, nl=False)
    echo(f": {summary.verdict.sentence}")
    for remark in summary.remarks():
        echo(f"- {remark}", dim=True)
