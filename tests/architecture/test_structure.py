"""Structure that a test can check: sizes, file docstrings, types, the docs' map, a light help path, no leaks."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.source import FOLDERS, PACKAGE, ROOT, parse, relative

SOURCES = sorted(PACKAGE.rglob("*.py"))
ALL_PYTHON = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
MAX_LINES, MAX_FUNCTION_LINES, MAX_PARAMETERS = 400, 60, 8
MAX_ANY = 114  # `Any` in the whole package; lower it when it falls


@pytest.mark.parametrize("path", ALL_PYTHON, ids=relative)
def test_no_file_is_too_long(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= MAX_LINES, f"{relative(path)} has {lines} lines; split it by subject"


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_files_have_a_docstring_and_short_functions(path: Path) -> None:
    tree = parse(path)
    assert ast.get_docstring(tree), f"{relative(path)} has no docstring"
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            length = (node.end_lineno or 0) - node.lineno + 1
            assert length <= MAX_FUNCTION_LINES, f"{relative(path)}:{node.lineno} {node.name} is {length} lines long"
            count = len(node.args.args) + len(node.args.posonlyargs)
            assert count <= MAX_PARAMETERS, (
                f"{relative(path)}:{node.lineno} {node.name} takes {count} positional parameters"
            )


def test_any_does_not_spread() -> None:
    count = sum(isinstance(node, ast.Name) and node.id == "Any" for path in SOURCES for node in ast.walk(parse(path)))
    assert count <= MAX_ANY, f"the package uses `Any` {count} times; {MAX_ANY} are allowed. Name the type instead"


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from distil.cli.main import cli; cli.main(['--help'], standalone_mode=False);"
        "heavy = {'torch', 'transformers', 'aiohttp', 'pydantic', 'numpy', 'rich', 'yaml'} & set(sys.modules);"
        "sys.exit(f'loaded {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "distil demo" in done.stdout


def test_every_command_has_help_with_an_example() -> None:
    from distil.cli.main import COMMANDS, cli

    for command in COMMANDS:
        found = cli.get_command(None, command)  # type: ignore[arg-type]
        assert found is not None and found.help, command
        subcommands = getattr(found, "commands", None)
        for leaf in subcommands.values() if subcommands else [found]:
            assert leaf.epilog and "Example" in leaf.epilog, f"{command} {leaf.name} shows no example"


def test_the_config_loads_without_torch_or_aiohttp() -> None:
    code = (
        "import sys, distil.config; bad = {'torch', 'transformers', 'aiohttp'} & set(sys.modules);"
        "sys.exit(str(bad) if bad else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_architecture_page_names_every_file_and_package() -> None:
    from distil.runs.artifacts import ARTIFACTS

    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    for artifact in ARTIFACTS:
        assert f"`{artifact.path}`" in page, f"docs/architecture.md does not name {artifact.path}"
    for folder in sorted(p.name for p in (ROOT / "src" / "distil").iterdir() if p.is_dir() and p.name != "__pycache__"):
        assert f"{folder}/" in page, f"docs/architecture.md does not name {folder}/"


def test_no_tracked_text_has_a_secret_or_a_home_path() -> None:
    key = r"BEGIN (RSA |EC )?PRIVATE KEY-----\n[A-Za-z0-9+/]{40}"
    pattern = re.compile(rf"sk-[A-Za-z0-9]{{20,}}|/home/[a-z]+/|/Users/[A-Za-z]+/|{key}")
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()
    texts = [ROOT / f for f in files if f.endswith((".py", ".md", ".toml", ".yaml", ".yml", ".html", ".sh"))]
    for path in texts:
        if path.exists() and (found := pattern.search(path.read_text(encoding="utf-8"))):
            pytest.fail(f"{relative(path)} holds {found.group()[:12]!r}...")


def test_the_changelog_has_the_version() -> None:
    from distil import __version__

    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
