"""A user's own metric: a function in a Python file of the project, named in evaluate.metrics as `mine.py:brevity`.

The function takes one Case (or, if its parameter is called `cases`, all of them) and returns a number, a bool or None (does not
apply). Attributes of the function say more, all optional: `label`, `better` ("higher", "lower", "one"), `against` ("nothing",
"teacher", "reference": where that is missing, the function is not asked), `deciding` and `guard` (True; values from 0 to 1).
"""

from __future__ import annotations

import importlib.util
import inspect
import math
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import cast, get_args

from distil.errors import UserError, did_you_mean
from distil.evaluate.metrics.table import BUILT_IN, Against, Better, Case, Metric, Values
from distil.text import one_line


def is_own(name: str) -> bool:
    """Whether an entry of evaluate.metrics names a file."""
    return ".py" in name


def split(entry: str, root: Path) -> tuple[Path, str]:
    """(file, function) of `mine.py:brevity`, the file relative to the project. Raises UserError when it is not of that form."""
    file, _, name = entry.rpartition(":")
    if not file.endswith(".py") or not name.isidentifier():
        raise UserError(
            f"evaluate.metrics has {entry!r}. A metric of your own is FILE.py:FUNCTION, such as mine.py:brevity."
        )
    path = root / file
    if not path.is_file():
        raise UserError(
            f"evaluate.metrics has {entry!r}, and there is no file {path}. Paths are relative to the project."
        )
    return path, name


def read(entry: str, root: Path) -> tuple[str, Metric]:
    """(name, metric) of an entry. Raises UserError for everything that is wrong with the file or the function."""
    path, name = split(entry, root)
    if name in BUILT_IN:
        raise UserError(f"{entry}: {name} is the name of a metric that is there already. Call your function otherwise.")
    module = _load(path)
    function = getattr(module, name, None)
    if not callable(function):
        there = [key for key, value in vars(module).items() if inspect.isfunction(value) and not key.startswith("_")]
        raise UserError(
            f"{path} has no function {name!r}.{did_you_mean(name, there)} It has: {', '.join(there) or 'no function'}."
        )
    parameters = _parameters(function, entry)
    against = _attribute(function, "against", get_args(Against), "nothing", entry)
    metric = Metric(
        entry=entry,
        label=one_line(str(getattr(function, "label", name.replace("_", " "))), 60),
        against=cast(Against, against),
        better=cast(Better, _attribute(function, "better", get_args(Better), "higher", entry)),
        guard=bool(getattr(function, "guard", False)),
        deciding=bool(getattr(function, "deciding", False)),
        function=_Guarded(function, path, name, str(against), all_at_once=parameters == ["cases"]),
    )
    bounded = metric.guard or metric.deciding
    if bounded and isinstance(metric.function, _Guarded):
        metric.function.bounded = True
    if metric.guard and metric.better == "higher":
        raise UserError(
            f'{entry}: a guard counts faults, so lower is better. Add `{name}.better = "lower"` to {path.name}.'
        )
    return name, metric


def _load(path: Path) -> ModuleType:
    name = f"distil_own_metrics_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UserError(f"{path} can't be read as Python.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        raise UserError(f"{path}, line {error.lineno}: {error.msg}. Correct the metric and run again.") from None
    except Exception as error:
        raise UserError(f"{path}{_line(error, path)} fails when it is loaded: {_told(error)}.") from None
    return module


def _parameters(function: Callable[..., object], entry: str) -> list[str]:
    names = [p.name for p in inspect.signature(function).parameters.values() if p.default is inspect.Parameter.empty]
    if len(names) != 1:
        raise UserError(
            f"{entry} takes {len(names)} parameters ({', '.join(names) or 'none'}), and a metric takes one: a case, or `cases` "
            "for all of them at once."
        )
    return names


def _attribute(function: object, name: str, allowed: Sequence[str], default: str, entry: str) -> str:
    value = getattr(function, name, default)
    if value not in allowed:
        raise UserError(
            f"{entry}: {name} is {value!r}.{did_you_mean(str(value), allowed)} It is one of {', '.join(allowed)}."
        )
    return str(value)


class _Guarded:
    """The user's function with its values checked: whatever it does wrong is said with file, line and prompt."""

    def __init__(
        self, function: Callable[..., object], path: Path, name: str, against: str, *, all_at_once: bool
    ) -> None:
        self._function, self._path, self._name = function, path, name
        self._against, self._all = against, all_at_once
        self.bounded = False
        """Whether values have to be from 0 to 1."""

    def __call__(self, cases: Sequence[Case]) -> Values:
        """The values of all cases, None where teacher or reference are missing and the metric needs them."""
        asked = [case for case in cases if self._against == "nothing" or getattr(case, self._against) is not None]
        if self._all:
            found = self._call(asked, None) if asked else []
            if not isinstance(found, Sequence) or isinstance(found, str) or len(found) != len(asked):
                what = f"{len(found)} values" if isinstance(found, Sequence) else type(found).__name__
                raise UserError(
                    f"{self._where()} returned {what} for {len(asked)} cases. It returns one value per case."
                )
            values = iter([self._checked(value, case) for value, case in zip(found, asked, strict=True)])
        else:
            values = iter([self._checked(self._call(case, case), case) for case in asked])
        wanted = {id(case) for case in asked}
        return [next(values) if id(case) in wanted else None for case in cases]

    def _call(self, argument: object, case: Case | None) -> object:
        try:
            return self._function(argument)
        except Exception as error:
            prompt = f" on prompt {case.prompt_id}" if case and case.prompt_id else ""
            raise UserError(
                f"{self._path}{_line(error, self._path)}: the metric {self._name} fails{prompt}: {_told(error)}."
            ) from None

    def _checked(self, value: object, case: Case) -> float | None:
        if value is None:
            return None
        number = getattr(value, "item", lambda: value)()  # a NumPy scalar
        if not isinstance(number, (bool, int, float)) or not math.isfinite(number):
            shown = one_line(repr(value), 60)
            raise UserError(f"{self._where(case)} returned {shown}. A metric returns a finite number, a bool, or None.")
        if self.bounded and not 0 <= number <= 1:
            raise UserError(
                f"{self._where(case)} returned {number}. A metric that decides or guards has values from 0 to 1."
            )
        return float(number)

    def _where(self, case: Case | None = None) -> str:
        prompt = f" on prompt {case.prompt_id}" if case and case.prompt_id else ""
        return f"{self._path}: the metric {self._name}{prompt}"


def _line(error: Exception, path: Path) -> str:
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return f", line {lines[-1]}" if lines else ""


def _told(error: Exception) -> str:
    return one_line(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__, 300).rstrip(".")
