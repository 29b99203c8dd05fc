"""Forecasts by words alone: embedding a text takes 10 ms of CPU, and what meaning adds is measured in benchmarks/forecast.py."""

from __future__ import annotations

import pytest

from distil.forecast import features, replay, slices


@pytest.fixture(autouse=True)
def words_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (features, replay, slices):
        monkeypatch.setattr(module, "can_embed", lambda: False)
