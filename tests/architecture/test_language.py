"""Names and prose: short test names, no stale docstring tails, no phrase that once made this codebase hard to read."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

from tests.architecture.source import FOLDERS, PACKAGE, ROOT, parse, relative

MAX_TEST_NAME = 60
# How many there still are. These numbers only fall.
LONG_TEST_NAMES = 0
CALLER_TAILS = 1
BANNED_PHRASES = 1

BANNED = re.compile(
    r"""
    \b(?:
        stands?\ (?:in|once|twice|at|on|there|behind|beside) | lies?\ (?:in|on|beside|behind)
      | mend(?:s|ed|ing)? | anew | in\ all(?=[,.;:]) | (?<!there\ )(?:is|are|was)\ no(?=\ [a-z])(?!\ (?:longer|more|less|way)\b)
      | told\ of | tells?\ of | nobody\ knows | hangs?\ together | gone\ to | reckon\w* | by\ hand\ of
      | sealed | quarrel\w* | eaten | says?\ which | the\ house
      | (?:token|normal|summar|recogn|initial|optim|serial|organ|quant|memor|general)is(?:e|es|ed|ing|ation)
      | \w*(?:colour|behaviour|neighbour|favour)\w* | labelled | modelling
    )\b
    """,
    re.VERBOSE | re.IGNORECASE,
)
CALLERS = re.compile(r"\b(?:Called|Made|Used) by\b")
# Text that is data: corpora, and this list itself.
DATA = ("src/distil/bundled/triage/", "tools/bundled_models/skills/", "tests/architecture/test_language.py")


def python_files() -> Iterator[Path]:
    for folder in FOLDERS:
        yield from sorted((ROOT / folder).rglob("*.py"))


def prose(path: Path) -> Iterator[tuple[int, str]]:
    """(line, text) of the comments and strings of a Python file, or of the text of a Markdown file outside code blocks."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        blank = re.sub(r"```.*?```", lambda block: "\n" * block.group().count("\n"), text, flags=re.DOTALL)
        yield from enumerate(blank.splitlines(), 1)
        return
    kinds = {tokenize.COMMENT, tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)}
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in kinds:
            yield token.start[0], token.string


def test_test_names_are_short() -> None:
    long = [
        f"{relative(path)}:{node.lineno} {node.name}"
        for path in (ROOT / "tests").rglob("test_*.py")
        for node in ast.walk(parse(path))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and node.name.startswith("test_")
        and len(node.name) > MAX_TEST_NAME
    ]
    assert len(long) <= LONG_TEST_NAMES, f"{len(long)} test names are longer than {MAX_TEST_NAME} characters: {long}"


def test_docstrings_do_not_list_their_callers() -> None:
    """Such lists go stale, and an editor answers the question better."""
    found = [
        f"{relative(path)}:{node.lineno if isinstance(node, (ast.ClassDef, ast.FunctionDef)) else 1}"
        for path in sorted(PACKAGE.rglob("*.py"))
        for node in ast.walk(parse(path))
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
        and CALLERS.search(ast.get_docstring(node) or "")
    ]
    assert len(found) <= CALLER_TAILS, f"{len(found)} docstrings say who calls or uses the thing: {found}"


def test_prose_is_free_of_banned_phrases() -> None:
    files = [*python_files(), *sorted((ROOT / "docs").rglob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
    found = [
        f"{relative(path)}:{line + text[: match.start()].count(chr(10))} {match.group()!r}"
        for path in files
        if not relative(path).startswith(DATA)
        for line, text in prose(path)
        for match in BANNED.finditer(text)
    ]
    assert len(found) <= BANNED_PHRASES, f"{len(found)} phrases to reword:\n" + "\n".join(found)
