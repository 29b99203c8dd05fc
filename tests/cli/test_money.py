"""plan, collect and ledger from the command line: consistent figures, and nothing paid for is lost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from distil.calls.batch.job import BatchFolder, BatchRow
from distil.calls.ledger.store import Ledger
from distil.cli.main import cli
from distil.errors import UserError
from distil.runs.artifacts import Project
from tests.wire import openai as wire
from tests.wire.openai import OpenAIServer


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Thirty prompts, an OpenAI teacher whose server is not running and whose key is not set."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    prompts = "".join(json.dumps({"prompt": f"question {n}"}) + "\n" for n in range(30))
    (tmp_path / "prompts.jsonl").write_text(prompts)
    teacher = {"model": "openai/gpt-4o-mini", "base_urls": ["http://127.0.0.1:9/v1"], "sampling": {"max_tokens": 50}}
    config = {"prompts": {"path": "prompts.jsonl"}, "teachers": [teacher], "student": {"model": "bundled/student"}}
    (tmp_path / "distil.yaml").write_text(yaml.safe_dump(config))
    return tmp_path


def distil(folder: Path, *arguments: str) -> Result:
    return CliRunner().invoke(cli, [*arguments, "--project", str(folder)])


def log(folder: Path, *numbers: int, **request: object) -> str:
    lines = [
        {
            "request": {"messages": [{"role": "user", "content": f"question {n}"}], **request},
            "response": {
                "id": f"c{n}",
                "model": "gpt-4o-mini-2024-07-18",
                "choices": [
                    {"index": 0, "message": {"role": "assistant", "content": f"logged {n}"}, "finish_reason": "stop"}
                ],
                "usage": {"prompt_tokens": 10, "completion_tokens": 4},
            },
        }
        for n in numbers
    ]
    path = folder / "log.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(path)


def test_collecting_from_a_log_needs_no_key_and_no_network(folder: Path) -> None:
    done = distil(folder, "collect", "--from-log", log(folder, *range(30)))
    assert done.exit_code == 0, done.output
    assert "they answer 30 of 30 prompts" in done.stderr and "30 of 30" in done.stdout
    assert "$0" in done.stdout


def test_replies_of_another_model_need_any_model(folder: Path) -> None:
    other = ["collect", "--from-log", log(folder, *range(30)), "--set", "teachers.0.model=openai/gpt-5-mini"]
    refused = distil(folder, *other)
    assert isinstance(refused.exception, UserError) and "--any-model" in str(refused.exception)
    assert distil(folder, *other, "--any-model").exit_code == 0
    alone = distil(folder, "collect", "--any-model")
    assert isinstance(alone.exception, UserError) and "goes with --from-log" in str(alone.exception)


def test_rebuild_rejects_options_that_do_not_apply(folder: Path) -> None:
    for option in ("--dry-run", "--only=failed", "--limit=3"):
        refused = distil(folder, "collect", "--rebuild", option)
        assert isinstance(refused.exception, UserError) and "leave out" in str(refused.exception)


def test_plan_and_dry_run_forecast_the_same_dollars(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forecast() -> tuple[float, float]:
        plan = json.loads(distil(folder, "plan", "--json").stdout)
        run = json.loads(distil(folder, "collect", "--dry-run", "--json").stdout)
        return plan["collect_usd"] - plan["spent_usd"], sum(one["usd"] for one in run["forecast"])

    planned, dry_run = forecast()
    assert planned == pytest.approx(dry_run) and planned > 0
    monkeypatch.setenv("OPENAI_API_KEY", wire.KEY)
    with OpenAIServer() as server:
        urls = f"teachers.0.base_urls=[{server.url}]"
        assert distil(folder, "collect", "--limit", "10", "--set", urls).exit_code == 0
        after = json.loads(distil(folder, "plan", "--json", "--set", urls).stdout)
        assert after["spent_usd"] > 0 and after["collect_usd"] < planned
        assert "of it spent" in distil(folder, "plan", "--set", urls).stdout


def test_bodies_are_not_pruned_while_they_are_the_only_copy(folder: Path) -> None:
    distil(folder, "collect", "--from-log", log(folder, *range(30)))
    answers = Project(folder).answers
    kept = answers.read_bytes()
    answers.unlink()
    refused = distil(folder, "ledger", "--prune")
    assert isinstance(refused.exception, UserError) and "only copy" in str(refused.exception)
    assert distil(folder, "collect", "--rebuild").exit_code == 0
    pruned = distil(folder, "ledger", "--prune")
    assert "Deleted the bodies of 30 calls" in pruned.output and "can't be made again" in pruned.output
    assert distil(folder, "collect").exit_code == 0 and answers.read_bytes() == kept


@pytest.mark.parametrize(
    "options", [("--prune", "--before", "yesterday"), ("--prune", "--purpose", "colect"), ("--last", "-3")]
)
def test_a_mistyped_option_prunes_nothing(folder: Path, options: tuple[str, ...]) -> None:
    distil(folder, "collect", "--from-log", log(folder, *range(30)))
    assert distil(folder, "ledger", *options).exit_code == 2
    with Ledger(Project(folder).ledger) as ledger:
        assert all(ledger.body(call.id) for call in ledger.calls())


def test_the_ledger_shows_sums_calls_and_bodies(folder: Path) -> None:
    distil(folder, "collect", "--from-log", log(folder, *range(30)))
    shown = distil(folder, "ledger", "--last", "1").stdout
    assert "30 answered calls, $0" in shown and "import" in shown and "openai/gpt-4o-mini" in shown
    call = json.loads(distil(folder, "ledger", "--json", "--last", "1").stdout)["newest"][0]["id"]
    assert "logged" in distil(folder, "ledger", "--show", call).stdout
    out = folder / "calls.jsonl"
    assert "Wrote 30 calls" in distil(folder, "ledger", "--export", str(out)).output
    assert len(out.read_text().splitlines()) == 30


def test_status_lists_the_batches_open_at_the_provider(folder: Path) -> None:
    assert "Open at the provider" not in distil(folder, "status").stdout
    batches = BatchFolder(Project(folder).batches)
    batches.finish(batches.new("openai/gpt-4o-mini", "chat", [BatchRow("call_0", 0, {}, 0.01)]))
    job = batches.new("openai/gpt-4o-mini", "chat", [BatchRow(f"call_{n}", 0, {}, 0.01) for n in range(12)])
    batches.save(job, state="created", batch_id="batch_1")
    line = next(line for line in distil(folder, "status").stdout.splitlines() if line.startswith("Open at"))
    assert "1 batch of openai/gpt-4o-mini, 12 requests, since 20" in line and "`distil collect`" in line
    reported = json.loads(distil(folder, "status", "--json").stdout)["open_batches"]
    assert reported == [{"model": "openai/gpt-4o-mini", "requests": 12, "since": job.created}]


def test_status_reports_a_collection_with_a_limit(folder: Path) -> None:
    done = distil(folder, "collect", "--from-log", log(folder, *range(30)), "--limit", "5")
    assert done.exit_code == 0, done.output
    stages = json.loads(distil(folder, "status", "--json").stdout)["stages"]
    why = {stage["stage"]: stage["why"] for stage in stages}
    assert why["collect"] == "only the first 5 prompts were sent (--limit)"
    assert why["prompts"].startswith("finished 20") and why["prompts"].endswith(" UTC")
