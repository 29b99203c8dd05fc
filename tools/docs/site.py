"""Puts the pages of the site together in build/docs, and has Zensical make build/site of them: `make docs`.

The pages of docs/ are copied; the reference is written from the code, the programs of examples/ become pages, and the changelog
and CONTRIBUTING.md come along, so that every link of a page leads to a page. build/site also has the Markdown of each page, and
llms.txt, which lists them, for programs that read. Nothing is loaded from elsewhere, neither while building nor by a browser.
"""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import yaml

from tools.docs import commands, python_api, settings
from tools.docs.markdown import block, text

ROOT = Path(__file__).parents[2]
LINK = re.compile(r"(?<!!)\[([^\]\[]*(?:\[[^\]]*\][^\]\[]*)*)\]\(([^)\s]+)\)")
FENCE = re.compile(r"^(`{3,}).*?^\1`*$", re.DOTALL | re.MULTILINE)


def assemble(to: Path) -> None:
    """Writes every page below `to`, which is emptied first."""
    shutil.rmtree(to, ignore_errors=True)
    shutil.copytree(ROOT / "docs", to)
    for name, page in (("cli", commands.page()), ("config", settings.page()), ("python", python_api.page())):
        _write(to / "reference" / f"{name}.md", page)
    for path in sorted((ROOT / "examples").glob("*.py")):
        _write(to / "examples" / f"{path.stem}.md", _program(path))
    for path in sorted((ROOT / "examples").glob("*.ipynb")):
        _write(to / "examples" / f"{path.stem}.md", _notebook(json.loads(path.read_text(encoding="utf-8"))))
    for path in sorted(to.rglob("*.md")):
        here = path.relative_to(to).parent
        _write(path, _moved(path.read_text(encoding="utf-8"), "../" * len(here.parts), "../" * (len(here.parts) + 1)))
    for name in ("CHANGELOG.md", "CONTRIBUTING.md"):
        page = (ROOT / name).read_text(encoding="utf-8")
        _write(to / name.lower(), _moved(page.replace("](docs/", "]("), "", ""))
    _write(to / "llms.txt", llms_txt(to))


def _program(path: Path) -> str:
    """A page with a program, below what its docstring says first."""
    source = path.read_text(encoding="utf-8")
    said = (ast.get_docstring(ast.parse(source)) or "").split("\n\n")[0]
    return f"# {path.name}\n\n{text(said)}\n\n{block(source, 'python')}\n"


def _notebook(data: dict[str, list[dict[str, object]]]) -> str:
    """A page with the cells of a notebook."""
    parts = []
    for cell in data["cells"]:
        source = cell["source"]
        lines = "".join(source) if isinstance(source, list) else str(source)
        parts.append(block(lines, "python") if cell["cell_type"] == "code" else lines)
    return "\n\n".join(parts) + "\n"


def _write(path: Path, page: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")


def _moved(page: str, top: str, root: str) -> str:
    """A page whose links out of docs/ lead to the pages made of those files.

    top: the way from it to the pages; root: to the repository.
    """
    page = re.sub(rf"\]\({re.escape(root)}examples/(\w+)\.(?:py|ipynb)\)", rf"]({top}examples/\1.md)", page)
    return re.sub(
        rf"\]\({re.escape(root)}(CHANGELOG|CONTRIBUTING)\.md\)", lambda found: f"]({top}{found[1].lower()}.md)", page
    )


def navigation() -> list[tuple[str, str, str]]:
    """(group, title, page) in the order of mkdocs.yml."""
    return list(_entries(yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"], ""))


def _entries(nav: list[dict[str, object]], group: str) -> Iterator[tuple[str, str, str]]:
    for entry in nav:
        for title, below in entry.items():
            if isinstance(below, list):
                yield from _entries(below, title)
            else:
                yield group, title, str(below)


def llms_txt(pages: Path) -> str:
    """The list of all pages for a program that reads (https://llmstxt.org): title, link to the Markdown, first sentence."""
    lines, last = ["# Distil", "", f"> {first_sentence((pages / 'index.md').read_text(encoding='utf-8'))}"], ""
    for group, title, page in navigation():
        if group != last:
            lines += ["", f"## {group}", ""]
            last = group
        lines.append(f"- [{title}]({page}): {first_sentence((pages / page).read_text(encoding='utf-8'))}")
    return "\n".join(lines) + "\n"


def first_sentence(page: str) -> str:
    """What a page says first, without its markup."""
    body = FENCE.sub("", page)
    for part in body.split("\n\n"):
        plain = " ".join(part.split())
        if plain and plain[0] not in "#|<!-:":
            plain = re.sub(r"\\(?=\W)", "", LINK.sub(r"\1", plain)).replace("**", "")
            first, *rest = re.split(r"(?<=\.)\s", plain, maxsplit=2)
            return first if len(first) > 20 or not rest else f"{first} {rest[0]}"
    return page.splitlines()[0].lstrip("# ") if page else ""


def build(folder: Path) -> int:
    """Builds folder/site of folder/docs; the exit code of Zensical, which ends with 1 on a warning."""
    pages, site = folder / "docs", folder / "site"
    assemble(pages)
    shutil.rmtree(site, ignore_errors=True)
    shutil.copy(ROOT / "mkdocs.yml", folder)
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--clean"]
    done = subprocess.run(command, cwd=folder, check=False)
    for path in sorted(pages.rglob("*.md")):
        _write(site / path.relative_to(pages), path.read_text(encoding="utf-8"))
    return done.returncode


if __name__ == "__main__":
    sys.exit(build(ROOT / "build"))
