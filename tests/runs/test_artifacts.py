"""The paths of a project, and the map of its files against the code and the architecture page."""

from __future__ import annotations

import ast
import inspect
from collections import defaultdict
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import pytest

from distil.runs.artifacts import ARTIFACTS, STAGES, Artifact, Project, stage_command
from tests.architecture.source import PACKAGE, ROOT, parse


@cache
def users() -> Mapping[str, set[str]]:
    """Attribute -> the packages (or top modules) whose code names `project.ATTRIBUTE` or `Project(...).ATTRIBUTE`."""
    result: dict[str, set[str]] = defaultdict(set)
    for path in PACKAGE.rglob("*.py"):
        package = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        for node in ast.walk(parse(path)):
            if isinstance(node, ast.Attribute) and _is_project(node.value):
                result[node.attr].add(package)
    parse.cache_clear()
    return result


def _is_project(node: ast.expr) -> bool:
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id == "Project"
    return (
        node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
    ) == "project"


def row(artifact: Artifact) -> str:
    """Its line in the table of docs/architecture.md."""
    readers = users().get(artifact.attribute or "", set()) - {artifact.writer}
    return f"| `{artifact.path}` | {artifact.content} | {artifact.writer} | {', '.join(sorted(readers)) or '-'} |"


def test_the_page_shows_the_map_and_who_uses_each_file() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8").splitlines()
    start = page.index("| file | holds | written by | also used by |") + 2
    assert page[start : start + len(ARTIFACTS) + 1] == [*map(row, ARTIFACTS), ""]


@pytest.mark.parametrize("artifact", [a for a in ARTIFACTS if a.attribute], ids=lambda a: a.path)
def test_the_map_names_the_path_and_the_writer(artifact: Artifact) -> None:
    project = Project("/p")
    value = getattr(project, artifact.attribute or "")
    placeholder = "SPLIT" if artifact.attribute == "split" else "NAME"
    path = value(placeholder) if inspect.ismethod(value) else value
    assert path == project.root / artifact.path
    if artifact.writer != "calls":  # the client is given the ledger's path
        assert artifact.writer in users()[artifact.attribute or ""]


def test_every_path_of_a_project_is_in_the_map() -> None:
    names = {name for name, value in vars(Project).items() if isinstance(value, property)}
    assert names <= {artifact.attribute for artifact in ARTIFACTS}
    assert {artifact.path.split("/")[1] for artifact in ARTIFACTS if artifact.path.startswith("work/")} == {
        *STAGES,
        "active",
        "serve",
        "until",
        "cache.sqlite",
        "date.txt",  # several stages need it, whichever comes first
    }


def test_every_stage_has_a_command() -> None:
    from distil.cli.main import COMMANDS

    assert all(stage_command(stage).split()[1] in COMMANDS for stage in STAGES)
    assert stage_command("train", "sft") == "distil train --as sft"
    assert stage_command("evaluate", "sft") == "distil evaluate sft"


def test_a_folder_of_the_project_is_found_from_anywhere(tmp_path: Path) -> None:
    """Names of models that are not folders of the project stay as they are."""
    (tmp_path / "models" / "mine").mkdir(parents=True)
    project = Project(tmp_path)
    whole = str((tmp_path / "models" / "mine").resolve())
    assert project.placed("models/mine") == project.placed("local/models/mine") == project.placed(whole) == whole
    for name in ("bundled/student", "Qwen/Qwen3-0.6B", "models/other", "openai/gpt-5-mini"):
        assert project.placed(name) == name
