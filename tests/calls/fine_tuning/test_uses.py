"""A model that was tuned at a provider is evaluated, priced, served, listed and protected like any other student."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from click.testing import CliRunner

from distil.calls.fine_tuning.served import as_engine, as_model, tuned
from distil.calls.fine_tuning.table import COLUMNS, choices
from distil.cli.options import Context
from distil.cli.students import pick_evaluable, pick_student
from distil.cost.config import CostConfig
from distil.cost.stage import run as cost
from distil.errors import UserError
from distil.evaluate.given import elsewhere
from distil.evaluate.stage import source_of
from distil.models.config import StudentConfig
from distil.runs.schemas.provider_job import save_provider_job
from distil.serve.config import ServeConfig
from distil.serve.engines.base import behind_provider
from distil.train import exporting
from distil.train import stage as here
from distil.train.config import TrainConfig
from tests.calls.fine_tuning.shop import Shop


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """A project with a student that Together has tuned."""
    monkeypatch.setattr("distil.calls.fine_tuning.run.FIRST_POLL_S", 0.002)
    shop = Shop("together", tmp_path)
    with shop.server:
        shop.run()
    return shop


def test_it_is_evaluated_by_its_name(shop: Shop) -> None:
    found = source_of(shop.project, "tuned", None)
    serving = shop.job().serving
    assert found is not None and serving is not None and found.model == serving.model
    context = Context([shop.project.root], [], False)
    assert pick_evaluable(context, None) == "tuned" == pick_student(context, None)
    model = as_model(serving)
    assert model.base_urls == [shop.server.environ["TOGETHER_BASE_URL"]]
    assert model.price is not None and (model.price.input, model.price.output) == (0.0, 0.0)


def test_its_name_is_not_given_to_other_answers(shop: Shop) -> None:
    with pytest.raises(UserError, match="trained here"):
        source_of(shop.project, "tuned", elsewhere("openai/gpt-5-mini", shop.project))


def test_it_is_the_engine_behind_the_gateway(shop: Shop) -> None:
    serving = shop.job().serving
    assert serving is not None
    section = behind_provider(shop.project, "tuned", ServeConfig())
    name = serving.model.removeprefix("together/")
    assert section.engine == f"{shop.server.environ['TOGETHER_BASE_URL']}#{name}"
    assert section.engine_key_env == "TOGETHER_API_KEY"
    own = ServeConfig(engine="http://127.0.0.1:1/v1#mine")
    assert behind_provider(shop.project, "tuned", own) == own


def test_an_azure_deployment_is_an_engine_on_the_v1_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distil.calls.fine_tuning.run.FIRST_POLL_S", 0.002)
    shop = Shop("dated azure", tmp_path)
    with shop.server:
        serving = shop.run().job.serving
    assert serving is not None
    engine, key_env = as_engine(serving)
    assert engine.startswith(f"{shop.server.origin}/openai/v1#") and key_env == "AZURE_OPENAI_API_KEY"
    assert serving.model.removeprefix("azure/") in serving.deploy


def test_its_deployment_is_in_the_bill(shop: Shop) -> None:
    from distil.calls.config import Price, TeacherConfig

    teacher = TeacherConfig(model="openai/gpt-5-mini", price=Price(input=5, output=15))
    section = CostConfig(input_tokens=100, output_tokens=20, queries_per_month=1_000_000)
    summary = cost(shop.project, section, [teacher])
    alone = next(option for option in summary.options if option.coverage == 1.0)
    assert alone.student_usd == pytest.approx(3.99 * 730)
    assert summary.spent["train"] == pytest.approx(1.25) and summary.one_time_usd == pytest.approx(1.25)
    assert "one deployment" in " ".join(summary.warnings)


def test_it_is_not_trained_over_or_exported(shop: Shop) -> None:
    with pytest.raises(UserError, match="tuned at together"):
        here.run(shop.project, TrainConfig(), StudentConfig(), name="tuned")
    with pytest.raises(UserError, match="weights of 'tuned' are at together"):
        exporting.run(shop.project, "tuned")
    assert not here.finished(shop.project, "tuned")


def test_a_job_that_is_not_done_has_no_model(shop: Shop) -> None:
    path = shop.project.provider_job("tuned")
    save_provider_job(path, shop.job().model_copy(update={"state": "created", "serving": None}))
    with pytest.raises(UserError, match="under way"):
        tuned(path, "tuned")
    save_provider_job(path, shop.job().model_copy(update={"state": "failed", "serving": None}))
    with pytest.raises(UserError, match="--force"):
        tuned(path, "tuned")
    path.write_text("{}")
    with pytest.raises(UserError, match="restore it from a copy"):
        tuned(path, "tuned")


def test_the_table_of_providers_says_prices_and_dates() -> None:
    rows = {row.provider: row for row in choices(2_000_000, 8_000_000_000, date(2026, 11, 29))}
    assert list(rows) == ["together", "fireworks", "azure", "openai"]
    assert rows["fireworks"].job == "about $1.00" and "$7.00 an hour" in rows["fireworks"].serving
    assert "2027-01-06" in rows["openai"].closings[-1] and rows["together"].closings == ()
    assert all(len(row.cells()) == len(COLUMNS) for row in rows.values())


def test_the_command_asks_and_refuses_without_a_terminal(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    from distil.cli.main import cli

    (shop.project.root / "distil.yaml").write_text("prompts: {path: p.jsonl}\nteachers: [{model: recorded/a.jsonl}]\n")
    manifest = shop.project.stage("curate") / "manifest.json"
    manifest.write_text((shop.project.stage("train", "tuned") / "manifest.json").read_text())
    server = type(shop.server)()
    with server:
        for name, value in server.environ.items():
            monkeypatch.setenv(name, value)
        words = [
            "train",
            "--project",
            str(shop.project.root),
            "--provider",
            "together",
            "--as",
            "other",
            "--base",
            "Qwen/Qwen3-8B",
        ]
        done = CliRunner().invoke(cli, words, input="y\n")
    assert isinstance(done.exception, UserError) and "--yes" in str(done.exception)
    assert "20 examples" in done.stderr and server.files == {}
