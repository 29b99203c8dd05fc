"""Charts, numbers, visible texts and the packed data on their own."""

from __future__ import annotations

import base64
import gzip
import itertools
import json
import random
import re
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from markupsafe import Markup

from distil.report import charts, formatting
from distil.report.payload import pack
from distil.report.scatter import Box, Dot, scatter


def test_labels_in_pictures_are_escaped() -> None:
    row = charts.Lane(0.5, 0.4, 0.6, "student")
    picture = charts.lane(row, charts.Axis(0, 1), zone=None, lines=[(0.2, "limit")], label='<b a="1">')
    assert "&lt;b a=&#34;1&#34;&gt;" in picture


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
    assert len(thin) <= 201
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


def test_what_can_not_be_seen_is_spelled_out() -> None:
    assert formatting.shown("a\x1b[31m\u202eb\n\tc") == "a␛[31m⟨U+202E⟩b\n\tc"
    assert formatting.shown(Markup("<b>\x1b</b>")) == Markup("<b>\x1b</b>")
    assert formatting.shown(3) == 3


def test_labels_of_a_scatter_cover_nothing() -> None:
    luck = random.Random(0)
    for _ in range(40):
        dots = [
            Dot(f"student-{n}", "student", 10 ** luck.uniform(0, 2), luck.uniform(0.8, 1), None, None) for n in range(5)
        ]
        curve = [(10.0 + n, 0.9 + 0.002 * n) for n in range(30)]
        picture = str(scatter(dots, curve, "accuracy", width=660, height=320))
        found = re.findall(r'<text class="name student" x="([\d.-]+)" y="([\d.-]+)">([^<]+)<', picture)
        boxes = [Box(float(x), float(y) - 12.5, 6.6 * len(text), 14) for x, y, text in found]
        assert len(boxes) == 5
        assert all(a.overlap(b) < 30 for a, b in itertools.combinations(boxes, 2))
        assert all(box.x >= 30 and box.x + box.width <= 664 for box in boxes)


def unpack(data: str) -> Any:
    return json.loads(gzip.decompress(base64.b64decode(data)))


def test_rows_come_back_as_they_went_in() -> None:
    rows = {"rows": ["</script>", "\x1b\u202e", "\ud83d", "日本"]}
    packed = pack(lambda cut: rows)
    assert unpack(packed.data)["rows"] == ["</script>", "\x1b\u202e", "?", "日本"]
    assert packed.cut is None


def test_long_texts_are_cut_until_the_page_is_small() -> None:
    luck = random.Random(0)
    texts = ["".join(luck.choices("abcdefghij klmnopqrst", k=30_000)) for _ in range(40)]
    packed = pack(lambda cut: {"rows": [cut(text) for text in texts]}, max_bytes=200_000)
    assert len(packed.data) <= 200_000
    assert packed.cut is not None and packed.cut < 20_000
    assert unpack(packed.data)["rows"][0] == [texts[0][: packed.cut], 30_000 - packed.cut]
