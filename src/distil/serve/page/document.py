"""The page's HTML. It holds nothing of the gateway's: what it shows it asks for, with a key where keys are required."""

from __future__ import annotations

import functools
from pathlib import Path

from distil.pages.document import files, scripts, served_document, styles

HERE = Path(__file__).parent


@functools.cache
def render(name: str) -> tuple[str, str]:
    """(the page of the gateway `name`, its content security policy)."""
    shared = scripts("text.js", "diff.js", "theme.js", "judgment.js")
    own = files(HERE / "script", ("ask.js", "figures.js", "cases.js", "start.js"))
    shared_style = styles("base.css", "explorer.css", "judgment.css")
    return served_document(
        HERE / "templates" / "live.html.j2",
        style="\n".join([shared_style, files(HERE / "style", ["live.css"])]),
        script=f"{shared}\n{own}",
        name=name,
    )
