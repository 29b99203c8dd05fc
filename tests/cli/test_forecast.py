"""`distil forecast` as typed: tables and JSON, without a project, and errors that say what to type."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

import distil
from distil.cli.main import cli
from distil.forecast import features, replay, slices
from tests.forecast.logs import line, triage, usage, write


@pytest.fixture(autouse=True)
def words_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (features, replay, slices):
        monkeypatch.setattr(module, "can_embed", lambda: False)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return write(
        tmp_path / "log.jsonl", [*triage(120), *[line(f"write {i}", "so " * 40, usage=usage()) for i in range(9)]]
    )


def test_it_needs_no_project_and_names_the_next_command(log: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["forecast", str(log), "--project", str(tmp_path)], catch_exceptions=False)
    assert done.exit_code == 0
    assert "Kinds of requests" in done.stdout and "This rests on" in done.stdout
    assert f"--prompts {log}" in done.stdout and f"--from-log {log}" in done.stdout


def test_json_is_one_document_with_every_assumption(log: Path, tmp_path: Path) -> None:
    arguments = ["forecast", str(log), "--json", "--project", str(tmp_path), "--set", "cost.queries_per_month=9000"]
    done = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    found = json.loads(done.stdout)
    assert found["money"]["requests_a_month"] == 9_000
    assert {"prices of", "texts looked at", "quality", "the student", "requests a month"} <= set(found["assumptions"])


def test_from_python_it_is_the_same(log: Path) -> None:
    found = distil.forecast(log, {"cost.queries_per_month": 9_000}, prices={"gpt-4o": (1, 2)})
    assert found.money.requests_a_month == 9_000
    assert found.models[0].usd == pytest.approx(129 * (400 * 1 + 20 * 2) / 1e6)
    with pytest.raises(distil.errors.UserError, match="queries_a_month"):  # type: ignore[attr-defined]
        distil.forecast(log, {"cost.queries_a_month": 9_000})
