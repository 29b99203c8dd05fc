"""`distil doctor`: findings, each with its evidence and its cure, and --apply, which writes the settings of a cure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from distil.cli.options import Context, agreed, distil_command, echo, here, width
from distil.errors import GateNotReached, UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from distil.config import Config
    from distil.doctor.finding import Finding
    from distil.runs.artifacts import Project

MARKS = {
    "ok": ("ok", "green"),
    "warn": ("warn", "yellow"),
    "problem": ("PROBLEM", "red"),
    "unknown": ("?", "bright_black"),
}
INDENT = 8
LEAST_WIDTH = 24


@distil_command("distil doctor --project mytask")
@click.option("--all", "show_all", is_flag=True, help="Also show the checks that passed.")
@click.option(
    "--apply",
    "number",
    type=click.IntRange(min=1),
    metavar="N",
    help="Write the settings of finding N into distil.yaml.",
)
@click.option("--yes", is_flag=True, help="--apply: write them without asking.")
@click.option("--strict", is_flag=True, help="For CI: exit code 4 when there is a PROBLEM.")
def command(context: Context, show_all: bool, number: int | None, yes: bool, strict: bool) -> None:
    """Find what is wrong and what to change, from the files in the project."""
    from distil.doctor import checks

    findings = checks.run(context.project, config=_config(context))
    if number is not None:
        _apply(context, findings, number, yes=yes)
        return
    context.emit(findings, lambda: _show(context.project, findings, show_all=show_all))
    problems = [finding for finding in findings if finding.level == "problem"]
    if strict and problems:
        names = ", ".join(dict.fromkeys(finding.check for finding in problems))
        raise GateNotReached(f"--strict: {len(problems)} of the findings are a PROBLEM: {names}.")


def _config(context: Context) -> Config | None:
    """None where distil.yaml is missing or wrong, which is a finding; a wrong --set is an error."""
    try:
        return context.config()
    except UserError:
        from distil.config import load_config

        if context.overrides:
            load_config(context.project)  # if the file is wrong, that is the error
            raise
        return None


def _numbered(findings: Sequence[Finding]) -> list[Finding]:
    """Those that have a number: what needs attention."""
    return [finding for finding in findings if finding.level in ("warn", "problem")]


def _show(project: Project, findings: Sequence[Finding], *, show_all: bool) -> None:
    numbered = _numbered(findings)
    for number, finding in enumerate(numbered, start=1):
        _heading(finding, f"{number}. {finding.check}")
        for text in (finding.seen, finding.why, finding.cure.advice):
            _paragraph(text)
        for line in finding.cure.lines():
            echo(" " * INDENT + here(line, project), fg="cyan")
    for finding in findings if show_all else ():
        if finding not in numbered:
            _heading(finding, finding.check)
            _paragraph(finding.seen)
            for line in finding.cure.lines():
                echo(" " * INDENT + here(line, project), fg="cyan")
    passed = sum(f.level == "ok" for f in findings)
    unknown = sum(f.level == "unknown" for f in findings)
    echo(f"{passed} checks passed, {len(numbered)} need attention, {unknown} have no data yet.")
    with_settings = [number for number, finding in enumerate(numbered, start=1) if finding.cure.settings]
    if with_settings:
        apply = here(f"distil doctor --apply {with_settings[0]}", project)
        echo(f"Settings can be written into distil.yaml: {apply}")


def _heading(finding: Finding, name: str) -> None:
    label, color = MARKS[finding.level]
    echo(f"{label:{INDENT}}", fg=color, bold=True, nl=False)
    echo(name, bold=True)


def _paragraph(text: str) -> None:
    """A text in the width of the terminal. Command lines are not wrapped: they are pasted."""
    from rich.console import Console
    from rich.text import Text

    columns = max(LEAST_WIDTH, width() - INDENT)
    for part in text.splitlines():
        for line in Text(part).wrap(Console(width=columns), columns):
            echo(" " * INDENT + line.plain.rstrip())


def _apply(context: Context, findings: Sequence[Finding], number: int, *, yes: bool) -> None:
    """Shows how the settings of a finding change distil.yaml, asks, and writes them."""
    from distil.config import load_config
    from distil.config_file import edit_config, flat_settings, scalar, write_edit

    numbered = _numbered(findings)
    if number > len(numbered):
        raise UserError(f"There is no finding {number}: {len(numbered)} need attention. `distil doctor` lists them.")
    finding = numbered[number - 1]
    cure, path = finding.cure, context.project.config
    if not cure.settings:
        typed = [f"`{here(line, context.project)}`" for line in cure.commands]
        todo = " ".join([*([cure.advice] if cure.advice else []), *typed])
        raise UserError(f"Finding {number} ({finding.check}) has no settings to write. {todo}")
    before = flat_settings(load_config(context.project))
    pairs = [f"{key}={scalar(value)}" for key, value in cure.settings.items()]
    edit = edit_config(path.read_text(encoding="utf-8"), pairs, str(path))
    changes = [{"key": key, "old": before.get(key), "new": value} for key, value in cure.settings.items()]
    if not context.as_json:
        _heading(finding, f"{number}. {finding.check}")
        for change in changes:
            echo(f"{' ' * INDENT}{change['key']}: {scalar(change['old'])} -> {scalar(change['new'])}")
    written = bool(edit.lines) and agreed(path, yes=yes)
    if written:
        write_edit(path, edit)
    result = {"finding": finding, "changes": changes, "written": written, "commands": cure.commands}

    def show() -> None:
        echo(f"Written to {path}." if written else "Nothing was written.")
        if written and cure.commands:
            echo("Then run:")
            for line in cure.commands:
                echo(f"  {here(line, context.project)}", fg="cyan")

    context.emit(result, show)
