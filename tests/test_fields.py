"""JSON answers field by field: what counts as the same value, and what an invented or nested field costs."""

from __future__ import annotations

import json

import pytest

from distil import fields
from distil.text import Json


def test_fields_are_compared_by_value_and_extra_ones_cost() -> None:
    target: dict[str, Json] = {"intent": "refund", "count": 2, "urgent": True, "order": None}
    answer = '{"intent": " Refund ", "count": 2.0, "urgent": 1, "extra": "x", "order": null}'
    found = fields.compare_fields(answer, target)
    assert found.fields == {"intent": 1, "count": 1, "urgent": 0, "order": 1}
    assert found.extra == ["extra"] and found.share == 3 / 5
    assert fields.compare_fields("no object", target) == (dict.fromkeys(target, 0.0), [])
    assert fields.field_share("prose", "{}") == 0.0 and fields.field_share("{}", "{}") == 1.0
    assert fields.field_share('{"a": 1}', "prose") is None and fields.field_share("x", None) is None


def test_a_nested_object_counts_by_its_leaves() -> None:
    target: dict[str, Json] = {"name": "Ann", "address": {"city": "Rome", "zip": {"code": "00100"}}}
    answer = {"name": "Ann", "address": {"city": "Rome", "zip": {"code": "00200"}, "floor": 3}}
    found = fields.compare_fields(json.dumps(answer), target)
    assert found.fields == {"name": 1, "address.city": 1, "address.zip.code": 0}
    assert found.extra == ["address.floor"] and found.share == 2 / 4


@pytest.mark.parametrize(
    ("answer", "target", "value"),
    [
        (0.1 + 0.2, 0.3, 1),
        (2, 2.0, 1),
        (100.0, 100.1, 0),
        (True, 1, 0),
        ("1", 1, 0),
        (None, False, 0),
        (10**400, 10**400, 1),
        ("2026-05-01", "May 1, 2026", 1),
        ("1 May 2026", "2026-05-01", 1),
        ("01.05.2026", "2026-05-01", 1),
        ("2026-05-02", "May 1, 2026", 0),
        ("01/05/2026", "2026-05-01", 0),
        ("25/12/2026", "12/25/2026", 1),
        ("2026-05-01T10:00:00", "2026-05-01 10:00:00", 1),
        ("2026-13-45", "2026-12-31", 0),
        ("$29.00", "29 USD", 1),
        ("29", "$29", 0),
        ("1 kg", "1000 g", 1),
        ("5 mg", "5 g", 0),
        ("-5", "5", 0),
        ("1.0", "1.00", 1),
        (["a", "B"], ["b", "A"], 1),
        (["a"], ["a", "b"], 0.5),
        (["a", "b", "c"], ["a"], 1 / 3),
        ([1, 2.0], [2, 1], 1),
        ([], [], 1),
        ([True], [1], 0),
        (["2026-05-01"], ["May 1, 2026"], 1),
        ("x", ["x"], 0),
        ([], "x", 0),
        ({}, {}, 1),
        ({}, [], 0),
        ([{"a": 1, "b": 2}, {"a": 3}], [{"a": 1, "b": 0}, {"a": 3}], 0.75),
        ("not this label", "that label", 0),
        ("The customer wants the money back today", "the customer wants his money back", 0.8),
        ("nothing of the kind was said at all", "the customer wants his money back", 0),
    ],
)
def test_a_value_is_compared_by_what_it_is(answer: Json, target: Json, value: float) -> None:
    assert fields.likeness(answer, target) == pytest.approx(value)


def test_every_value_is_like_itself() -> None:
    for value in (
        0,
        -0.0,
        1e308,
        "",
        " ",
        "12/13/2026",
        {"a": {"b": [{}, [], None]}},
        [[1], {"x": "y"}],
        "\ud800",
        "a" * 10_000,
    ):
        assert fields.likeness(value, value) == 1


def test_runaway_objects_are_compared_at_once() -> None:
    wide = json.dumps({str(i): i for i in range(50_000)})
    assert fields.field_share(wide, wide) == 1
    deep = '{"a":' * 90 + "1" + "}" * 90
    assert fields.field_share(deep, deep) == 1
