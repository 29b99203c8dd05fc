"""What other packages read of a manifest or a log is what its stage writes, and incomplete files are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from distil.curate.config import CurateConfig
from distil.curate.stage import CurateResult
from distil.errors import UserError
from distil.records import Manifest
from distil.runs.jsonl import read_document, write_json
from distil.runs.schemas.cost import CostSummary
from distil.runs.schemas.metrics import MetricsRow
from distil.runs.schemas.notes import (
    CollectNotes,
    CollectSettings,
    CurateNotes,
    CurateSettings,
    TrainNotes,
    TrainSettings,
)
from distil.train.config import TrainConfig


def manifest(config: dict[str, object] | None = None, notes: dict[str, object] | None = None) -> Manifest:
    times = {"started": "2026-11-24T10:00:00+00:00", "finished": "2026-11-24T10:00:01+00:00"}
    return Manifest(tool_version="1", stage="s", config=config or {}, inputs={}, outputs={}, notes=notes or {}, **times)


def test_settings_that_others_read_are_keys_of_the_section() -> None:
    assert set(CurateSettings.model_fields) <= set(CurateConfig.model_fields)
    assert set(TrainSettings.model_fields) <= set(TrainConfig.model_fields)
    assert set(CurateNotes.model_fields) <= set(CurateResult.model_fields)
    assert CurateSettings.of(manifest(CurateConfig().model_dump(mode="json"))).test == CurateConfig().test
    assert TrainSettings.of(manifest(TrainConfig().model_dump(mode="json"))).target == "teacher"


def test_a_missing_manifest_or_key_gives_the_default() -> None:
    assert CollectSettings.of(None).limit is None and CurateSettings.of(manifest()).test == 0
    assert TrainNotes.of(manifest()) == TrainNotes.of(None) == TrainNotes()
    assert CollectNotes.of(manifest(notes={"answers": 3, "terms": ["a"]})).terms == ["a"]


def test_a_line_of_the_training_log_may_hold_other_keys_and_nan() -> None:
    row = MetricsRow.model_validate({"step": 3, "loss": float("nan"), "learning_rate": 1e-4, "seconds": 0.5})
    assert row.loss != row.loss and row.eval_loss is None and row.epoch == 0.0


def test_an_incomplete_file_names_field_and_command(tmp_path: Path) -> None:
    write_json(tmp_path / "summary.json", {"spent": {}})
    with pytest.raises(UserError, match=r"summary\.json: field 'one_time_usd'.*Run `distil cost` again"):
        read_document(tmp_path / "summary.json", CostSummary, command="distil cost")
