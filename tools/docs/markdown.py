"""Text from the code as Markdown: shown as it is, and never read as markup."""

from __future__ import annotations

import re

CODE = re.compile(r"(`+)(?!`)(.+?)(?<!`)\1(?!`)", re.DOTALL)
SPECIAL = re.compile(r"[\\`*\[\]{]|(?<!\w)_|_(?!\w)")
START = re.compile(r"^(?:[#>]|[+-](?=[\s+-]|$)|!(?=!!)|~(?=~~)|\d+(?=[.)](?:\s|$)))")
"""What would make a heading, a quote, a list, a rule or a box of a paragraph of one line."""


def text(plain: str) -> str:
    """Prose with its markup escaped; `code` in paired backticks stays code, line breaks become blanks."""
    plain = " ".join(plain.split())
    shown, at = "", 0
    for match in CODE.finditer(plain):
        shown += _escaped(plain[at : match.start()]) + code(match[2])
        at = match.end()
    shown += _escaped(plain[at:])
    return START.sub(lambda found: f"{found[0]}\\" if found[0].isdigit() else f"\\{found[0]}", shown)


def _escaped(plain: str) -> str:
    shown = SPECIAL.sub(lambda found: f"\\{found[0]}", plain)
    return re.sub(r"&(?=#?\w+;)", "&amp;", shown).replace("<", "&lt;")


def code(plain: str) -> str:
    """Inline code; as many backticks around it as it needs."""
    longest = max((len(run) for run in re.findall(r"`+", plain)), default=0)
    fence = "`" * (longest + 1)
    blank = " " if plain[:1] == "`" or plain[-1:] == "`" else ""
    return f"{fence}{blank}{plain}{blank}{fence}"


def block(plain: str, language: str = "") -> str:
    """A fenced block; the fence is longer than any in it."""
    longest = max((len(run) for run in re.findall(r"`{3,}", plain)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}{language}\n{plain.rstrip()}\n{fence}"


def paragraphs(plain: str) -> str:
    """A docstring: its paragraphs, each escaped; indented ones are code."""
    parts = []
    for part in re.split(r"\n[ \t]*\n", plain.strip("\n")):
        lines = part.splitlines()
        if all(line.startswith("    ") for line in lines if line.strip()):
            parts.append(block("\n".join(line[4:] for line in lines)))
        else:
            parts.append(text(part))
    return "\n\n".join(parts)
