"""Metrics from a user's file: what they get, what they may return, and every way to get it wrong."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from distil.errors import UserError
from distil.evaluate import metrics
from distil.evaluate.metrics import METRICS, Case, table

CASES = [Case("p", "a b", "a", None, prompt_id="p1"), Case("p", "abc", None, "abc", prompt_id="p2")]


@pytest.fixture(autouse=True)
def same_table_afterwards() -> Iterator[None]:
    yield
    for name in [*METRICS]:
        if name not in table.BUILT_IN:
            del METRICS[name]


def values(tmp_path: Path, code: str, entry: str = "mine.py:brevity") -> list[float | None]:
    (tmp_path / "mine.py").write_text(code, encoding="utf-8")
    (name,) = metrics.chosen([entry], tmp_path)
    return metrics.function(name)(CASES)


def test_one_case_or_all_of_them(tmp_path: Path) -> None:
    assert values(tmp_path, "def brevity(case): return len(case.answer)") == [3.0, 3.0]
    assert values(tmp_path, "def brevity(cases): return [case.prompt_id == 'p1' for case in cases]") == [1.0, 0.0]
    assert values(tmp_path, "import numpy\ndef brevity(case): return numpy.float32(0.5)") == [0.5, 0.5]
    assert values(tmp_path, "def brevity(case, words=3): return None") == [None, None]


def test_attributes_say_what_it_is(tmp_path: Path) -> None:
    code = "def brevity(case): return case.answer == case.reference\nbrevity.label = 'short'\nbrevity.against = 'reference'\n"
    assert values(tmp_path, code + "brevity.deciding = True") == [None, 1.0]
    assert METRICS["brevity"][1:4] == ("short", "reference", "higher")
    assert metrics.deciding_order()[0] == "brevity" and "brevity" not in metrics.guards()
    values(tmp_path, "def brevity(case): return False\nbrevity.guard, brevity.better = True, 'lower'")
    assert metrics.guards()[-1] == "brevity" and "brevity" not in metrics.deciding_order()


def test_default_may_stand_in_the_list(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def brevity(case): return 1", encoding="utf-8")
    entries = ["default", "mine.py:brevity"]
    assert metrics.chosen(entries, tmp_path) == [*metrics.chosen("default"), "brevity"]
    assert (
        metrics.own_files(entries, tmp_path) == [tmp_path / "mine.py"] and metrics.own_files("default", tmp_path) == []
    )


@pytest.mark.parametrize(
    ("code", "entry", "message"),
    [
        ("", "mine.py", r"FILE.py:FUNCTION, such as mine.py:brevity"),
        ("", "mine.py:1a", r"FILE.py:FUNCTION"),
        ("", "other.py:brevity", r"there is no file .*other.py. Paths are relative"),
        ("def brevty(case): return 1", "mine.py:brevity", r"no function 'brevity'. Did you mean 'brevty'\?"),
        ("x = 1", "mine.py:brevity", r"It has: no function"),
        ("def f(:", "mine.py:brevity", r"mine.py, line 1: .*Correct the metric"),
        (
            "a = 1\n1 / 0",
            "mine.py:brevity",
            r"mine.py, line 2 fails when it is loaded: ZeroDivisionError: division by zero\.",
        ),
        ("def brevity(): return 1", "mine.py:brevity", r"takes 0 parameters"),
        ("def brevity(a, b): return 1", "mine.py:brevity", r"takes 2 parameters \(a, b\)"),
        ("def accuracy(case): return 1", "mine.py:accuracy", r"name of a metric that is there already"),
        ("def brevity(case): return 1\nbrevity.better = 'heigher'", "mine.py:brevity", r"Did you mean 'higher'"),
        (
            "def brevity(case): return 1\nbrevity.against = 'truth'",
            "mine.py:brevity",
            r"one of teacher, reference, nothing",
        ),
        ("def brevity(case): return 1\nbrevity.guard = True", "mine.py:brevity", r"brevity.better = \"lower\""),
        (
            "def brevity(case):\n    return case.answr",
            "mine.py:brevity",
            r"mine.py, line 2: the metric brevity fails on prompt p1",
        ),
        (
            "def brevity(case): return 'x'",
            "mine.py:brevity",
            r"on prompt p1 returned 'x'. A metric returns a finite number",
        ),
        ("def brevity(case): return float('nan')", "mine.py:brevity", r"returned nan"),
        (
            "def brevity(case): return 2\nbrevity.deciding = True",
            "mine.py:brevity",
            r"returned 2. .* values from 0 to 1",
        ),
        ("def brevity(cases): return [1]", "mine.py:brevity", r"returned 1 values for 2 cases"),
        ("def brevity(cases): return 1", "mine.py:brevity", r"returned int for 2 cases"),
        (
            "def brevity(case): raise ValueError('\x1b[2J')",
            "mine.py:brevity",
            r"fails on prompt p1: ValueError: \[2J\.$",
        ),
    ],
)
def test_what_is_wrong_is_said_in_one_paragraph(tmp_path: Path, code: str, entry: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        values(tmp_path, code, entry)
    assert "\n" not in str(caught.value)
