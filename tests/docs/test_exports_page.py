"""The tables of docs/exports.md say what the code does."""

from __future__ import annotations

import pytest

from distil.formats import FORMATS, find_format
from distil.formats.format import Format
from tests.architecture.source import ROOT

PAGE = ROOT / "docs" / "exports.md"
ROLES = ("system", "developer", "user", "assistant", "tool")


def holds(form: Format) -> list[str]:
    """A line of the table of formats."""
    found = form.holds
    return [
        f"`{form.name}`",
        form.title,
        ", ".join(role for role in ROLES if role in found.roles),
        {"anywhere": "anywhere", "first": "first turn", "apart": "own field"}[found.system]
        if "system" in found.roles
        else "-",
        {"any": "any", "alternating": "alternating", "one": "one question"}[found.turns],
        {"pair": "-", "last": "the last", "all": "all, but weight 0" if found.weight else "all"}[found.trained],
        "yes" if found.tools else "-",
        {"any": "yes", "embedded": "base64", "none": "-"}[found.images],
        "yes" if found.reasoning else "-",
    ]


def limits(form: Format) -> list[str]:
    """A line of the table of limits."""
    found = form.limits
    at_most = f" to {found.max_rows:,}" if found.max_rows else " or more"
    return [
        f"`{form.name}`",
        f"{found.min_rows:,}{at_most}",
        f"at most {found.max_validation_rows:,}" if found.max_validation_rows else "-",
        f"{found.max_bytes / 2**20:,.0f} MiB" if found.max_bytes else "-",
        f"{found.max_tokens:,}" if found.max_tokens else "-",
        f"{found.source} ({found.read})" if found.source else "-",
    ]


HEADS = {
    "formats": [
        "format",
        "read by",
        "roles",
        "system turn",
        "turns",
        "answers trained on",
        "tools",
        "images",
        "thinking",
    ],
    "limits": ["format", "examples", "validation", "file", "tokens of one example", "source (read on)"],
}


@pytest.mark.parametrize(("name", "line"), [("formats", holds), ("limits", limits)])
def test_the_page_has_the_table_of_the_code(name: str, line: object) -> None:
    assert callable(line)
    rows = [HEADS[name], ["---"] * len(HEADS[name]), *(line(find_format(form)) for form in FORMATS)]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows).replace("| --- ", "|---").replace("--- |", "---|")
    page = PAGE.read_text(encoding="utf-8")
    shown = (
        page.split(f"<!-- table of {name}: tests/docs/test_exports_page.py -->\n")[1]
        .split("<!-- end of table")[0]
        .strip()
    )
    assert shown == table, f"docs/exports.md: this is the table of {name} now:\n{table}"
