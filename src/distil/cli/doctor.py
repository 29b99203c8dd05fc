"""`distil doctor`: findings with evidence and the command that mends them."""

from __future__ import annotations

import textwrap

import click

from distil.cli.options import Context, distil_command

MARKS = {
    "ok": ("ok", "green"),
    "warn": ("warn", "yellow"),
    "problem": ("PROBLEM", "red"),
    "unknown": ("?", "bright_black"),
}


@distil_command("distil doctor --project mytask")
@click.option("--all", "everything", is_flag=True, help="Show the checks that passed, too.")
def command(context: Context, everything: bool) -> None:
    """Say what is wrong and what to change, from the evidence in the project folder."""
    from distil.doctor import checks

    context.config()
    findings = checks.run(context.project)

    def show() -> None:
        shown = [f for f in findings if everything or f.level in ("warn", "problem")]
        for finding in shown:
            label, colour = MARKS[finding.level]
            click.echo(click.style(f"{label:8}", fg=colour, bold=True) + click.style(finding.check, bold=True))
            for text in (
                finding.seen,
                finding.why if finding.level != "ok" else "",
                finding.fix if finding.level != "ok" else "",
            ):
                if text:
                    click.echo(textwrap.indent(text, " " * 8))
        passed = sum(f.level == "ok" for f in findings)
        unknown = sum(f.level == "unknown" for f in findings)
        click.echo(
            f"{passed} checks passed, {len(findings) - passed - unknown} to look at, {unknown} without evidence yet."
        )

    context.emit(findings, show)
