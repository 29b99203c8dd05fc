"""A user's own filter: a function of a Python file that `curate.filters` names, such as `my_filters.py:too_formal`.

It takes a prompt and an answer (distil.records) and returns a reason to drop the answer (a text, or True), or nothing (None or
False), or a number, which is a signal of its own: from 0.5 it drops, or from what `curate.thresholds` says.
"""

from __future__ import annotations

import importlib.util
import math
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from distil.curate.evidence.corpus import Corpus
from distil.curate.evidence.found import Found, RowSignal
from distil.errors import UserError, did_you_mean
from distil.records import Answer, Prompt
from distil.text import one_line

_RETURNS = "a text (the reason to drop the answer), True, False, None or a number"


class Own(NamedTuple):
    """A loaded function of the user's."""

    name: str
    """Of the function: what its filter and its signal are called."""
    measure: RowSignal
    """The function as a signal."""
    path: Path
    """Its file."""


def is_own(name: str) -> bool:
    """Whether an entry of curate.filters names a function of a Python file."""
    return ".py:" in name or name.endswith(".py")


def load_own(name: str, root: Path) -> Own:
    """`FILE.py:FUNCTION`, relative to the project folder. Raises UserError that names file and line."""
    file, _, function = name.rpartition(":")
    if not file:
        raise UserError(f"curate.filters: found {name!r}. Name the function in it too: {name}:my_function")
    path = root / file
    if not path.is_file():
        raise UserError(
            f"curate.filters: {path} is not there; {name!r} should name a Python file and a function in it."
        )
    module = _module(path, file)
    check = getattr(module, function, None)
    if not callable(check):
        there = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        listed = f" It has {', '.join(there)}." if there else ""
        raise UserError(
            f"curate.filters: {path} has no function {function!r}.{listed}{did_you_mean(function, there)} "
            f"Expected `def {function}(prompt, answer):` that returns {_RETURNS}."
        )
    return Own(function, _signal(check, path, file, function), path)


def _module(path: Path, file: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"distil_own_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise UserError(f"curate.filters: {path} can't be loaded as Python.")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        raise UserError(
            f"curate.filters: {file}, line {error.lineno}: {error.msg}. Correct it and run again."
        ) from None
    except Exception as error:  # whatever the user's file does when it is loaded
        raise UserError(f"curate.filters: {_where(error, path, file)}. It failed while it was loaded.") from error
    return module


def _signal(check: Callable[..., object], path: Path, file: str, name: str) -> RowSignal:
    def measure(prompt: Prompt, answer: Answer, corpus: Corpus) -> Found | None:
        try:
            result = check(prompt, answer)
        except Exception as error:  # whatever the user's function does on some row
            raise UserError(
                f"curate.filters: {_where(error, path, file)}. This happened in {name} for {answer.id}, the answer "
                f"“{one_line(answer.text, 60)}” to {prompt.id}. Correct the function and run again."
            ) from error
        if result is None or result is False:
            return None
        if result is True:
            return Found(1, f"{name} objects")
        if isinstance(result, str):
            return Found(1, one_line(result, 300) or f"{name} objects")
        number = _number(result)
        if number is None:
            raise UserError(
                f"curate.filters: {name} in {file} returned a {type(result).__name__} for {answer.id}; expected {_RETURNS}."
            )
        return Found(number, f"{name} is {number:.3g}")

    return measure


def _number(result: object) -> float | None:
    """A finite number, numpy's included, or None."""
    try:
        number = float(result) if not isinstance(result, (bytes, bytearray)) else math.nan  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _where(error: Exception, path: Path, file: str) -> str:
    """`my_filters.py, line 12: KeyError: 'x'`: the last line of the user's file that ran."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) == path]
    line = f", line {lines[-1]}" if lines else ""
    return f"{file}{line}: {type(error).__name__}: {one_line(str(error), 200)}"
