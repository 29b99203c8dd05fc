"""The package's source, parsed once: its modules, their own imports and their docstrings. Shared by the tests here."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "distil"
FOLDERS = ("src", "tests", "benchmarks", "examples", "tools")


@dataclass(frozen=True)
class Import:
    """One import of the package's own modules."""

    target: str  # the imported module
    line: int
    local: bool  # inside a function


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def modules() -> Mapping[str, Path]:
    """Dotted module name -> file, for every file of the package."""
    return {
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): path
        for path in sorted(PACKAGE.rglob("*.py"))
    }


@cache
def own_imports(module: str) -> tuple[Import, ...]:
    """The imports of `distil.*` in a module, in file order; `from package import module` counts as the module."""
    tree = parse(modules()[module])
    local = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef))
        for node in ast.walk(function)
    }
    return tuple(
        Import(target, node.lineno, id(node) in local)
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for target in sorted(set(_targets(node)))
        if target != module
    )


def _targets(node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names if alias.name in modules())
    elif node.module in modules():
        for alias in node.names:
            submodule = f"{node.module}.{alias.name}"
            yield submodule if submodule in modules() else str(node.module)


def circles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """The strongly connected components with more than one member (Tarjan), each sorted."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    result: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for target in sorted(graph[node]):
            if target not in index:
                visit(target)
                low[node] = min(low[node], low[target])
            elif target in stack:
                low[node] = min(low[node], index[target])
        if low[node] == index[node]:
            start = stack.index(node)
            component = sorted(stack[start:])
            del stack[start:]
            if len(component) > 1:
                result.append(component)

    for node in graph:
        if node not in index:
            visit(node)
    return result


def levels(graph: Mapping[str, set[str]]) -> int:
    """The number of nodes on the longest path through a graph without circles."""

    @cache
    def depth(node: str) -> int:
        return 1 + max((depth(target) for target in graph[node]), default=0)

    return max(depth(node) for node in graph)


def import_graph(prefix: str = "distil") -> dict[str, set[str]]:
    """module -> the modules it imports, at the top or inside a function; limited to one package and its files."""
    names = {name for name in modules() if name == prefix or name.startswith(prefix + ".")}
    return {name: {found.target for found in own_imports(name)} & names for name in names}
