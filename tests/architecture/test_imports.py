"""How files import each other: no circles, imports at the top, few levels. Layers are checked by import-linter."""

from __future__ import annotations

from collections import Counter

from tests.architecture.source import PACKAGE, circles, import_graph, levels, modules, own_imports, relative

# Own imports inside a function, outside cli/, pipeline.py and jobs.py: each keeps a heavy package (torch, transformers, aiohttp,
# pydantic, starlette) out of a path that does not need it. File -> how many.
LOCAL_IMPORTS = {
    "models/continuous/loop.py": 1,
    "models/rows.py": 1,
    "train/peak.py": 1,
    "train/stage.py": 1,
}
MAX_TRAIN_LEVELS = 8
MAX_CALLS_FILES = 10  # beside its packages and __init__.py


def test_no_import_circles_between_files() -> None:
    # the package itself names its jobs for type checkers only, and loads nothing
    found = circles(import_graph() | {"distil": set()})
    assert not found, f"these files import each other: {found}"


def test_circles_and_levels_are_measured_correctly() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set[str](), "e": {"f"}, "f": {"e"}}
    assert circles(graph) == [["b", "c"], ["e", "f"]]
    assert levels({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == 3
    assert "distil.cli.main" in modules() and own_imports("distil.cli.main")


def test_own_imports_are_at_the_top_of_the_file() -> None:
    local = Counter(
        modules()[module].relative_to(PACKAGE).as_posix()
        for module in modules()
        if not module.startswith("distil.cli.") and module not in ("distil.pipeline", "distil.jobs")
        for found in own_imports(module)
        if found.local
    )
    assert dict(local) == LOCAL_IMPORTS, "move own imports to the top of the file, or correct the list"


def test_train_has_few_import_levels() -> None:
    assert levels(import_graph("distil.train")) <= MAX_TRAIN_LEVELS


def test_calls_has_few_files_beside_its_packages() -> None:
    files = [relative(path) for path in (PACKAGE / "calls").glob("*.py") if path.name != "__init__.py"]
    assert len(files) <= MAX_CALLS_FILES, sorted(files)
