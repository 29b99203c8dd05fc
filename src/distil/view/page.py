"""The page's HTML: one document with its style and script; it asks only the server that it came from."""

from __future__ import annotations

from pathlib import Path

from distil.pages.document import files, scripts, served_document, styles
from distil.runs.artifacts import Project

HERE = Path(__file__).parent
SCRIPTS = ("list.js", "reader.js", "start.js")


def render(project: Project) -> tuple[str, str]:
    """(the page, its content security policy)."""
    shared = scripts("text.js", "diff.js", "theme.js", "judgment.js")
    return served_document(
        HERE / "templates" / "view.html.j2",
        style="\n".join([styles("base.css", "explorer.css", "judgment.css"), files(HERE / "style", ["view.css"])]),
        script=f"{shared}\n{files(HERE / 'script', SCRIPTS)}",
        name=project.root.name,
    )
