"""`distil status`: what is there, what is stale, what comes next."""

from __future__ import annotations

import click

from distil.cli.options import Context, distil_command, dollars, table


@distil_command("distil status --project mytask")
@click.option("--as", "name", metavar="NAME", help="Which student to look at (default: the training method).")
def command(context: Context, name: str | None) -> None:
    """Show what is there, what is stale, and what to type next."""
    from distil.pipeline import steps
    from distil.runs.manifest import read_manifest

    rows = steps(context.project, context.config(), name)
    manifests = {(s.stage, s.name): read_manifest(context.project, s.stage, s.name) for s in rows}
    following = next((s for s in rows if s.state != "done"), None)
    value = {
        "stages": [{"stage": s.stage, "name": s.name, "state": s.state, "why": s.why} for s in rows],
        "students": context.project.students(),
        "next": following.command if following else None,
    }

    def show() -> None:
        marks = {"done": "[green]done[/]", "stale": "[yellow]stale[/]", "missing": "[dim]missing[/]"}
        lines = []
        for step in rows:
            manifest = manifests[(step.stage, step.name)]
            spent = dollars(manifest.usd) if manifest and manifest.usd else ""
            stage = f"{step.stage} {step.name}" if step.name else step.stage
            lines.append((stage, marks[step.state], step.why, spent))
        table("", ("stage", "state", "why", "spent"), lines, left=3)
        others = [s for s in context.project.students() if s not in {r.name for r in rows}]
        if others:
            click.echo(f"Other students: {', '.join(others)}")
        click.echo(f"Next: {following.command}" if following else f"All is done. The report: {context.project.report}")

    context.emit(value, show)
