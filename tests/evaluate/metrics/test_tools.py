"""Tool calls: the right tools, the right arguments."""

from __future__ import annotations

import json

import pytest

from distil.evaluate.metrics import Case, tools


def call(name: str, arguments: object = None) -> dict[str, object]:
    text = arguments if isinstance(arguments, str) else json.dumps(arguments or {})
    return {"id": "c1", "type": "function", "function": {"name": name, "arguments": text}}


def values(found: list[dict[str, object]], wanted: list[dict[str, object]]) -> tuple[float | None, ...]:
    row = Case("", "", "", None, tool_calls=found, teacher_tool_calls=wanted)
    return tuple(metric([row])[0] for metric in (tools.tool_calls, tools.tool_name, tools.tool_arguments))


A, B = call("weather", {"city": "Rome", "days": 2}), call("time", {"zone": "CET"})


@pytest.mark.parametrize(
    ("found", "wanted", "expected"),
    [
        ([A], [A], (1, 1, 1)),
        ([B, A], [A, B], (1, 1, 1)),
        ([call("weather", '{"days": 2.0, "city": "rome"}')], [A], (1, 1, 1)),
        ([call("weather", {"city": "Rome"})], [A], (0, 1, 0.5)),
        ([call("weather", {"city": "Rome", "days": 2, "unit": "C"})], [A], (0, 1, 2 / 3)),
        ([call("weather", "{broken")], [A], (0, 1, 0)),
        ([call("time", {"city": "Rome", "days": 2})], [A], (0, 0, None)),
        ([A, A], [A], (0, 2 / 3, 1)),
        ([A], [A, B], (0, 2 / 3, 1)),
        ([], [A], (0, 0, None)),
        ([A], [], (0, 0, None)),
        ([], [], (None, None, None)),
        ([call("weather", {"city": "Oslo"}), A], [A, call("weather", {"city": "Oslo"})], (1, 1, 1)),
        ([call("ping", "")], [call("ping")], (1, 1, 1)),
        ([{"function": {"name": "weather", "arguments": {"city": "Rome", "days": 2}}}], [A], (1, 1, 1)),
        ([{"function": None}], [A], (0, 0, None)),
    ],
)
def test_calls_are_compared_by_tool_and_arguments(
    found: list[dict[str, object]], wanted: list[dict[str, object]], expected: tuple[float | None, ...]
) -> None:
    assert values(found, wanted) == pytest.approx(expected)


def test_the_teacher_is_not_compared_with_itself() -> None:
    assert tools.tool_calls([Case("", "", None, None, tool_calls=[A])]) == [None]
