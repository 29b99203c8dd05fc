"""The rules of the house that a tool can hold: sizes, file docstrings, the map, the help path, no leaks."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "src" / "distil").rglob("*.py"))
ALL_PYTHON = SOURCES + [p for d in ("tests", "benchmarks", "tools") for p in sorted((ROOT / d).rglob("*.py"))]
MOST_LINES, MOST_FUNCTION_LINES, MOST_PARAMETERS = 400, 60, 8


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", ALL_PYTHON, ids=name)
def test_no_file_is_longer_than_one_room(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= MOST_LINES, f"{name(path)} has {lines} lines; split it along its subjects"


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_a_file_says_what_it_is_and_its_functions_are_short(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree), f"{name(path)} has no docstring"
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            length = (node.end_lineno or 0) - node.lineno + 1
            assert length <= MOST_FUNCTION_LINES, f"{name(path)}:{node.lineno} {node.name} is {length} lines long"
            count = len(node.args.args) + len(node.args.posonlyargs)
            assert count <= MOST_PARAMETERS, (
                f"{name(path)}:{node.lineno} {node.name} takes {count} positional parameters"
            )


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


def test_config_files_and_word_floors_load_without_torch_or_aiohttp() -> None:
    code = (
        "import sys, distil.config; bad = {'torch', 'transformers', 'aiohttp'} & set(sys.modules);"
        "sys.exit(str(bad) if bad else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_architecture_page_names_every_artifact_and_every_folder() -> None:
    from distil.runs.artifacts import ARTIFACTS

    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    for artifact in ARTIFACTS:
        assert f"`{artifact.path}`" in page, f"docs/architecture.md does not name {artifact.path}"
    for folder in sorted(p.name for p in (ROOT / "src" / "distil").iterdir() if p.is_dir() and p.name != "__pycache__"):
        assert f"{folder}/" in page, f"docs/architecture.md does not name {folder}/"


def test_no_tracked_text_holds_a_secret_or_an_absolute_home_path() -> None:
    key = r"BEGIN (RSA |EC )?PRIVATE KEY-----\n[A-Za-z0-9+/]{40}"
    pattern = re.compile(rf"sk-[A-Za-z0-9]{{20,}}|/home/[a-z]+/|/Users/[A-Za-z]+/|{key}")
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()
    texts = [ROOT / f for f in files if f.endswith((".py", ".md", ".toml", ".yaml", ".yml", ".html", ".sh"))]
    for path in texts:
        if path.exists() and (found := pattern.search(path.read_text(encoding="utf-8"))):
            pytest.fail(f"{name(path)} holds {found.group()[:12]!r}...")


def test_the_changelog_knows_the_version() -> None:
    from distil import __version__

    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
