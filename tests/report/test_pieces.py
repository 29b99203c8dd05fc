"""Charts, word differences and numbers on their own."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from distil.report import charts, formatting
from distil.report.diff import MAX_TOKENS, word_diff

texts = st.text(alphabet="ab <&\n", max_size=60)


@given(texts, texts)
@settings(max_examples=80, deadline=None)
def test_a_word_diff_loses_nothing_of_either_text(before: str, after: str) -> None:
    gone, new = word_diff(before, after)
    assert "".join(text for _, text in gone) == before
    assert "".join(text for _, text in new) == after
    if any(kind != "same" for kind, _ in gone + new):
        same = [[text for kind, text in parts if kind == "same"] for parts in (gone, new)]
        assert "".join(same[0]) == "".join(same[1])


def test_a_changed_word_is_marked_and_unlike_texts_are_not() -> None:
    gone, new = word_diff("the red kettle leaks", "the blue kettle leaks")
    assert ("gone", "red") in gone and ("new", "blue") in new
    assert word_diff("one two three", "a b c d e") == ([("same", "one two three")], [("same", "a b c d e")])


def test_a_very_long_text_is_shown_without_marks() -> None:
    long = "word " * MAX_TOKENS
    assert word_diff(long, "x") == ([("same", long)], [("same", "x")])


def test_labels_in_pictures_are_escaped() -> None:
    row = charts.Row('<b a="1">', 0.5, 0.4, 0.6, "student")
    assert "&lt;b a=&#34;1&#34;&gt;" in charts.track(row, charts.Axis(0, 1))


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6))
@settings(max_examples=80, deadline=None)
def test_ticks_are_few_round_and_inside(low: float, width: float) -> None:
    found = charts.ticks(low, low + width, 5)
    assert len(found) <= 6
    assert all(low - 1e-6 * width <= tick <= low + width * (1 + 1e-6) for tick in found)


def test_places_stay_inside_the_picture_and_nan_is_left_out() -> None:
    assert charts.Axis(0, 1).place(2.0) == 100
    assert charts.Axis(1, 1).place(1.0) == 50
    assert charts.plot([charts.Line("x", "train", [(1, float("nan"))])]) is None
    picture = charts.plot([charts.Line("x", "train", [(1, float("nan")), (2, 1.0), (3, 0.5)])])
    assert picture is not None and "nan" not in picture.svg


def test_many_points_are_thinned_and_the_ends_stay() -> None:
    points = [(float(i), float(i)) for i in range(5000)]
    thin = charts.thin(points)
    assert len(thin) <= 401
    assert (thin[0], thin[-1]) == (points[0], points[-1])


def test_numbers_read_well() -> None:
    assert formatting.number(-0.5, 1) == "−0.5"
    assert formatting.figure("field_accuracy", 0.9123) == "91.2%"
    assert formatting.figure("similarity", 0.9123) == "0.912"
    assert [formatting.dollars(v) for v in (0.0012, 0.5, 12_345.6, -2.0, None)] == [
        "$0.0012",
        "$0.50",
        "$12,346",
        "−$2.00",
        "–",
    ]
    assert [formatting.count(v) for v in (950, 12_340, 1_050_000, 7.1e9, None)] == ["950", "12.3k", "1.1M", "7.1B", "–"]
    assert formatting.seconds(0.0312) == "31 ms"
    assert formatting.p_value(0.0002) == "< 0.001"
