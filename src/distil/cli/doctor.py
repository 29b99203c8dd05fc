"""`distil doctor`: findings, each with its evidence and the command that fixes it."""

from __future__ import annotations

import textwrap

import click

from distil.cli.options import Context, distil_command, echo

MARKS = {
    "ok": ("ok", "green"),
    "warn": ("warn", "yellow"),
    "problem": ("PROBLEM", "red"),
    "unknown": ("?", "bright_black"),
}


@distil_command("distil doctor --project mytask")
@click.option("--all", "show_all", is_flag=True, help="Also show the checks that passed.")
def command(context: Context, show_all: bool) -> None:
    """Find what is wrong and what to change, from the files in the project."""
    from distil.doctor import checks

    context.config()
    findings = checks.run(context.project)

    def show() -> None:
        visible = [f for f in findings if show_all or f.level in ("warn", "problem")]
        for finding in visible:
            label, color = MARKS[finding.level]
            echo(f"{label:8}", fg=color, bold=True, nl=False)
            echo(finding.check, bold=True)
            for text in (finding.seen,) if finding.level == "ok" else (finding.seen, finding.why, finding.fix):
                if text:
                    echo(textwrap.indent(text, " " * 8))
        passed = sum(f.level == "ok" for f in findings)
        unknown = sum(f.level == "unknown" for f in findings)
        echo(f"{passed} checks passed, {len(findings) - passed - unknown} need attention, {unknown} have no data yet.")

    context.emit(findings, show)
