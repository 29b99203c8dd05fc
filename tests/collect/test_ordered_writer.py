"""Answers are kept as they come and written in the order of the prompts."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distil.collect.ordered_writer import OrderedWriter
from distil.runs.jsonl import read_records
from distil.runs.schemas.failures import Failure


def failure(name: str) -> Failure:
    return Failure(answer_id=name, prompt_id="p", teacher="t", sample=0, kind="empty", why="ümlaut 🫖 and\nline \u2028")


@given(st.lists(st.integers(min_value=0, max_value=40), max_size=30))
def test_the_last_record_per_position_is_written_in_order(
    tmp_path_factory: pytest.TempPathFactory, places: list[int]
) -> None:
    path = tmp_path_factory.mktemp("spool") / "failures.jsonl"
    with OrderedWriter(path) as spool:
        for arrival, place in enumerate(places):
            spool.add(place, failure(f"{place}-{arrival}"))
        assert spool.finish() == spool.count == len(set(places))
        assert all(spool.has(place) for place in places) and not spool.has(99)
    last = {place: f"{place}-{arrival}" for arrival, place in enumerate(places)}
    if places:
        assert [record.answer_id for record in _read(path)] == [last[place] for place in sorted(last)]
    assert [item.name for item in path.parent.iterdir()] == [path.name]


def _read(path: Path) -> list[Failure]:
    return list(read_records(path, Failure))
