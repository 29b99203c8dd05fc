"""The fenced blocks of the pages: commands, settings, Python."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^(`{3,})(\w*)[^\n]*\n(.*?)^\1`*$", re.DOTALL | re.MULTILINE)
SHELLS = ("console", "bash")


class Block(NamedTuple):
    """One fenced block."""

    page: Path
    language: str
    text: str


def blocks(page: Path, *languages: str) -> list[Block]:
    """The blocks of a page in these languages, in order."""
    found = FENCE.findall(page.read_text(encoding="utf-8"))
    return [Block(page, language, text) for _, language, text in found if language in languages]


def commands(block: Block) -> Iterator[list[str]]:
    """The commands of a block as words: of a console block the lines after `$`, of a script every line."""
    text = block.text.replace("\\\n", " ")
    for line in text.splitlines():
        if block.language == "console":
            if not line.startswith("$ "):
                continue
            line = line[2:]
        yield from simple_commands(line)


def simple_commands(line: str) -> Iterator[list[str]]:
    """`A=1 distil x && distil y > file  # why` as [distil, x], [distil, y]."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words: list[str] = []
    for word in [*lexer, ";"]:
        if word in ("&&", "||", "|", ";", "&"):
            if words:
                yield _without_redirection(words)
            words = []
        elif words or not re.fullmatch(r"[A-Z_]+=.*", word):
            words.append(word)


def _without_redirection(words: Sequence[str]) -> list[str]:
    cut = next((at for at, word in enumerate(words) if set(word) <= {">", "<"}), len(words))
    return list(words[:cut])
