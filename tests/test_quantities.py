"""Numbers in texts: value, sign, unit, and the result of a worked answer."""

from __future__ import annotations

import pytest

from distil import quantities
from distil.quantities import final_number, find_quantities, whole_quantity


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("1,250.50 and 3.10, order AB-4711; 2.0 or 7", [1250.5, 3.1, 4711, 2, 7]),
        ("-5, −5, minus 5, $-5, -$5", [-5] * 5),
        ("5-10 and 5–10", [5, 10, 5, 10]),
        ("- 5 apples", [5]),
        ("x=-.5", [-0.5]),
        ("1.250,50", [1250.5]),
        ("1,5", [1.5]),
        ("1,000,000", [1e6]),
        ("10,20,30", [10, 20, 30]),
        ("1.2.3", [1, 2, 3]),
        ("3 million dollars, 5k run", [3e6, 5000]),
        ("H2O and m2, AB4711", [4711]),
        ("５０ or ٣", [50, 3]),
        ("...72, in total", [72]),
        ("twenty-five of two", [25, 2]),
        ("it was 7.", [7]),
        ("no number", []),
        ("1\u00a0250 and 1'250", [1250, 1250]),
    ],
)
def test_numbers_are_read_with_sign_and_separators(text: str, numbers: list[float]) -> None:
    assert [quantity.number for quantity in find_quantities(text)] == pytest.approx(numbers)


@pytest.mark.parametrize(
    ("text", "dimension", "base"),
    [
        ("789 mg", "mass", 0.789),
        ("10mg/kg", "mass", 0.01),
        ("5 km/h", "speed", 5),
        ("$29.00", "dollars", 29),
        ("29 dollars", "dollars", 29),
        ("60%", "percent", 0.6),
        ("60 percent", "percent", 0.6),
        ("37 °C", "celsius", 37),
        ("2 weeks", "time", 1209600),
        ("the 90s", "", 90),
        ("8 tablets", "", 8),
        ("5 M", "", 5),
        ("50 cents", "dollars", 0.5),
        ("2 years", "months", 24),
    ],
)
def test_units_are_read(text: str, dimension: str, base: float) -> None:
    (found,) = find_quantities(text)
    assert (found.dimension, found.base) == (dimension, pytest.approx(base))


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("The answer is (42).", 42),
        ("42!", 42),
        ("...72, in total", 72),
        ("60%", 60),
        ("so 3 + 4\n#### 1,200", 1200),
        ("A: 18", 18),
        (r"hence \boxed{\frac{3}{4}} of 9", 0.75),
        (r"\boxed{-12}", -12),
        ("The final answer is: **$1,234.50** (of 2)", 1234.5),
        ("the answer is 3 + 4 = 7. It was 9", 7),
        ("The answer is 5. No, the answer is 6.", 6),
        ("first 3, then 4", 4),
        ("it is two", 2),
        ("no", None),
        ("", None),
        ("#### nothing but 7", 7),
        ("72 of two", 72),
    ],
)
def test_the_result_of_a_worked_answer(text: str, number: float | None) -> None:
    found = final_number(text)
    assert (found and found.number) == number


def test_a_text_that_is_nothing_but_a_number() -> None:
    for text, number in {
        "42": 42,
        " **42** ": 42,
        "(42).": 42,
        "$29.00": 29,
        "-5": -5,
        ".5": 0.5,
        "1,250 kg": 1250,
    }.items():
        found = whole_quantity(text)
        assert found is not None and found.number == number, text
    for text in ("42 apples", "1 2", "the 42", "", "x", "4" * 101, "a-5"):
        assert whole_quantity(text) is None, text


@pytest.mark.parametrize(
    ("answer", "target", "same"),
    [
        ("60%", "60", True),
        ("60%", "0.6", True),
        ("0.6%", "0.6", False),
        ("0.6", "60%", True),
        ("60", "60%", True),
        ("1%", "1", True),
        ("1 kg", "1000 g", True),
        ("5 mg", "5 g", False),
        ("5 hours", "5", True),
        ("5 hours", "5 dollars", False),
        ("$18", "18", True),
        ("-5", "5", False),
        ("1.0000001", "1", True),
        ("1.001", "1", False),
        ("0", "0%", True),
        ("0", "-0", True),
    ],
)
def test_quantities_are_compared_with_unit_and_tolerance(answer: str, target: str, same: bool) -> None:
    left, right = whole_quantity(answer), whole_quantity(target)
    assert left is not None and right is not None
    assert quantities.same_quantity(left, right) is same


def test_numbers_of_list_items_and_steps_are_no_numbers() -> None:
    text = "1. one pan\n2) an egg\n**3.** salt\nStep 4: stir [5]\n- 6 cups"
    assert [q.number for q in find_quantities(quantities.without_list_marks(text)) if not q.spelled] == [6]
    assert quantities.without_list_marks("42.") == "42."


@pytest.mark.parametrize(
    "piece",
    ["1", "1,", "1.", "-", "$", " ", "\n", "a1", "1 million ", "\\boxed{", "####", "answer: ", "two-", "\ud800", "1/"],
)
def test_runaway_texts_are_read_at_once(piece: str) -> None:
    text = piece * (230_000 // len(piece))
    found = find_quantities(quantities.without_list_marks(text))
    assert all(abs(q.number) < float("inf") for q in found)
    final_number(text)
