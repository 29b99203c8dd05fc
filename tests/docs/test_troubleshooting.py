"""docs/troubleshooting.md quotes messages that Distil says."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
QUOTED = re.findall(r"^### (`+)(.+?)\1$", PAGE, re.MULTILINE)
SHELL = "distil: command not found"


def said(source: str) -> str:
    """A file with its strings joined over lines; what is filled in is `…`."""
    joined = re.sub(r"\"\s*\n\s*f?\"", "", source)
    return re.sub(r"\{[^{}]*\}", "…", joined)


def test_every_quoted_message_is_in_the_code() -> None:
    files = sorted((ROOT / "src" / "distil").rglob("*.py"))
    code = "\n".join(said(path.read_text(encoding="utf-8")) for path in files)
    assert len(QUOTED) > 20
    for _, message in QUOTED:
        pattern = "[^\n]*".join(re.escape(piece) for piece in message.split("…"))
        assert message == SHELL or re.search(pattern, code), f"nothing in the code says: {message}"
    assert not re.search(re.escape("No API key for … anywhere"), code)
