"""`import distil` as a page: the jobs with their signatures and docstrings, and the records that they return with every field."""

from __future__ import annotations

import ast
import importlib
import inspect
import typing
from collections.abc import Iterator

import distil
from distil import jobs
from tools.docs.markdown import block, code, paragraphs, text


def page() -> str:
    """The whole page."""
    parts = ["# Python", *_opening()]
    results: dict[str, type] = {}
    for name in sorted(set(distil.__all__) - {"Project"}):
        job = getattr(jobs, name)
        parts += [f"## distil.{name} {{ #{name} }}", block(_signature(name, job), "python")]
        parts.append(paragraphs(inspect.getdoc(job) or ""))
        for kind in _classes(_returned(job)):
            results[kind.__name__] = kind
            parts.append(f"Result: [{kind.__name__}](#{kind.__name__.lower()}).")
    parts.append("## Results")
    for kind in sorted(results.values(), key=lambda kind: kind.__name__):
        parts += _record(kind)
    return "\n\n".join(parts) + "\n"


def _opening() -> Iterator[str]:
    """The docstring of the package: an example and what to know."""
    said = inspect.getdoc(jobs) or ""
    yield "Every job that `import distil` gives, and every field of its result, written from the code."
    example = inspect.getdoc(distil) or ""
    lines = [line[4:] for line in example.splitlines() if line.startswith("    ") or not line.strip()]
    yield block("\n".join(lines).strip(), "python")
    yield paragraphs(said)


def _signature(name: str, job: typing.Callable[..., object]) -> str:
    """`distil.collect(project: Project | Path | str, ...) -> CollectResult`, one parameter a line."""
    found = inspect.signature(job)
    lines = [f"distil.{name}("]
    keyword = False
    for parameter in found.parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and not keyword:
            lines.append("    *,")
            keyword = True
        default = "" if parameter.default is parameter.empty else f" = {parameter.default!r}"
        lines.append(f"    {parameter.name}: {_written(parameter.annotation)}{default},")
    return "\n".join([*lines, f") -> {_written(str(found.return_annotation))}"])


def _written(annotation: str) -> str:
    """An annotation with the two names of jobs.py spelled out."""
    return annotation.replace("Where", "Project | Path | str").replace("Settings", "Mapping[str, object]")


def _returned(job: typing.Callable[..., object]) -> object:
    """The return type, with the names that jobs.py imports for type checkers only."""
    tree = ast.parse(inspect.getsource(jobs))
    names: dict[str, object] = dict(vars(jobs))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("distil."):
            module = importlib.import_module(node.module)
            names |= {alias.name: getattr(module, alias.name) for alias in node.names if hasattr(module, alias.name)}
    return eval(str(job.__annotations__["return"]), names)


def _classes(annotation: object) -> Iterator[type]:
    """Distil's own records in a type."""
    if isinstance(annotation, type) and annotation.__module__.startswith("distil."):
        yield annotation
    for inner in typing.get_args(annotation):
        yield from _classes(inner)


def _record(kind: type) -> Iterator[str]:
    yield f"### {kind.__name__} {{ #{kind.__name__.lower()} }}"
    yield paragraphs(inspect.getdoc(kind) or "")
    lines = [
        f"- {code(f'{name}: {type_}')}" + (f": {text(said)}" if said else "") for name, type_, said in _fields(kind)
    ]
    if lines:
        yield "\n".join(lines)


def _fields(kind: type) -> Iterator[tuple[str, str, str]]:
    """(name, type, meaning) of each field, in order; the meaning is the string below it. Properties follow."""
    (found,) = ast.parse(inspect.getsource(kind)).body
    body = found.body if isinstance(found, ast.ClassDef) else []
    for node, below in zip(body, [*body[1:], None], strict=True):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id[0] != "_":
            said = below.value.value if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) else ""
            yield node.target.id, ast.unparse(node.annotation), str(said)
        elif isinstance(node, ast.FunctionDef) and any(ast.unparse(d) == "property" for d in node.decorator_list):
            returns = ast.unparse(node.returns) if node.returns else "object"
            yield node.name, returns, ast.get_docstring(node) or ""
