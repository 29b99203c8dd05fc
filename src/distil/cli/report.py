"""`distil report`: the HTML page."""

from __future__ import annotations

from distil.cli.options import Context, distil_command, echo


@distil_command("distil report --project mytask")
def command(context: Context) -> None:
    """Write one self-contained HTML page with all results of the project."""
    from distil.report import page

    context.config()
    path = page.build(context.project)
    context.emit({"report": path}, lambda: echo(f"Report: {path}"))
