"""The settings of a forecast: those of a project where there is one, else the defaults, with what the user adds."""

from __future__ import annotations

from collections.abc import Sequence

from distil.config import load_config, override_config
from distil.forecast.prices import read_price
from distil.forecast.replay import Options
from distil.runs.artifacts import Project

VOLUME = "cost.queries_per_month"


def options_of(project: Project | None, overrides: Sequence[str], prices: Sequence[str]) -> Options:
    """overrides: `a.b=value`; prices: `MODEL=INPUT,OUTPUT`. Raises UserError for a key or a value that is none.

    Requests a month come from the log unless an override names them: a project's file has a default there.
    """
    here = project is not None and project.config.exists()
    if project is not None and here:
        config = load_config(project, overrides)
    else:
        # a config needs prompts and a teacher; neither is used here
        empty: dict[str, object] = {"prompts": {"path": "logs.jsonl"}, "teachers": [{"model": "recorded/logs.jsonl"}]}
        config = override_config(empty, "the defaults", overrides)
    named = any(override.partition("=")[0].strip() == VOLUME for override in overrides)
    return Options(
        config.cost,
        config.teachers if here else (),
        dict(read_price(price) for price in prices),
        queries=config.cost.queries_per_month if named else None,
        risk=config.serve.risk,
    )
