"""The page's HTML: one document with its style and script; it asks only the server that it came from."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import jinja2
from markupsafe import Markup

from distil.report.page import asset
from distil.runs.artifacts import Project

HERE = Path(__file__).parent
SCRIPTS = ("list.js", "reader.js", "start.js")


def render(project: Project) -> tuple[str, str]:
    """(the page, its content security policy)."""
    own = "\n".join((HERE / "script" / name).read_text(encoding="utf-8") for name in SCRIPTS)
    shared = "\n".join(asset("script", name) for name in ("text.js", "diff.js", "theme.js"))
    script = f'(function () {{\n"use strict";\n{shared}\n{own}}})();\n'
    style = "\n".join([asset("style", "base.css"), asset("style", "explorer.css"), _style()])
    allowed = "sha256-" + base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE / "templates"), autoescape=True, undefined=jinja2.StrictUndefined
    )
    html = environment.get_template("view.html.j2").render(name=project.root.name, css=Markup(style), js=Markup(script))
    policy = (
        f"default-src 'none'; style-src 'unsafe-inline'; script-src '{allowed}'; connect-src 'self'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    )
    return html, policy


def _style() -> str:
    return (HERE / "style" / "view.css").read_text(encoding="utf-8")
