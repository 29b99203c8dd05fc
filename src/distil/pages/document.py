"""One HTML document with its style and script inside, and the content security policy that lets nothing else run or load."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path

import jinja2
from markupsafe import Markup

HERE = Path(__file__).parent


def styles(*names: str) -> str:
    """The texts of some of the shared styles."""
    return files(HERE / "style", names)


def scripts(*names: str) -> str:
    """The texts of some of the shared scripts."""
    return files(HERE / "script", names)


def files(folder: Path, names: Sequence[str]) -> str:
    """The texts of some of a page's own styles or scripts."""
    return "\n".join((folder / name).read_text(encoding="utf-8") for name in names)


def program(script: str) -> tuple[str, str]:
    """(the script, closed to other scripts; its hash for a content security policy)."""
    closed = f'(function () {{\n"use strict";\n{script}}})();\n'
    return closed, "sha256-" + base64.b64encode(hashlib.sha256(closed.encode("utf-8")).digest()).decode("ascii")


def served_document(template: Path, *, style: str, script: str, **values: object) -> tuple[str, str]:
    """(a page for a server of ours, its content security policy): it asks only the server that it came from."""
    closed, allowed = program(script)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(template.parent), autoescape=True, undefined=jinja2.StrictUndefined
    )
    html = environment.get_template(template.name).render(css=Markup(style), js=Markup(closed), **values)
    policy = (
        f"default-src 'none'; style-src 'unsafe-inline'; script-src '{allowed}'; connect-src 'self'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    )
    return html, policy
