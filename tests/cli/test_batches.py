"""`distil batches` from the command line: listed with their money, cancelled, let go, and what is said about each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from distil.calls.batch.job import BatchFolder, BatchRow
from distil.cli.main import cli
from distil.errors import UserError
from distil.runs.artifacts import Project
from tests.wire import openai as wire
from tests.wire.openai import OpenAIServer
from tests.wire.server import Seen, Trouble

PRICE = {"input": 1.0, "output": 4.0, "batch_factor": 0.5}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenAIServer]:
    monkeypatch.setenv("OPENAI_API_KEY", wire.KEY)
    monkeypatch.setattr("distil.calls.batch.run.FIRST_POLL_S", 0.01)
    with OpenAIServer() as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path, server: OpenAIServer) -> Path:
    """Six prompts in a batch that is created, after which the run ends."""
    server.desk.looks_until_done = 100
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps({"prompt": f"question {n}"}) + "\n" for n in range(6)))
    teacher = {"model": "openai/gpt-4o-mini", "base_urls": [server.url], "sampling": {"max_tokens": 50}, "price": PRICE}
    config = {"prompts": {"path": "prompts.jsonl"}, "teachers": [teacher], "collect": {"batch": True}}
    (tmp_path / "distil.yaml").write_text(yaml.safe_dump(config))
    server.trouble_for = no_reading
    done = distil(tmp_path, "collect")
    assert isinstance(done.exception, UserError), done.output
    server.trouble_for = None
    return tmp_path


def no_reading(seen: Seen) -> Trouble | None:
    return wire.error(401, "invalid_api_key", "no") if seen.method == "GET" else None


def distil(folder: Path, *arguments: str) -> Result:
    return CliRunner().invoke(cli, [*arguments, "--project", str(folder)])


def test_an_open_batch_is_listed_with_its_money(folder: Path) -> None:
    shown = distil(folder, "batches").stdout
    assert "batch_1" in shown and "in_progress" in shown and "0 of 6" in shown and "0 min" in shown
    value = json.loads(distil(folder, "batches", "--json").stdout)
    (batch,) = value["batches"]
    assert (batch["id"], batch["rows"], batch["answered"]) == ("batch_1", 6, 0)
    assert batch["most_usd"] == pytest.approx(value["most_usd"]) and 0 < value["most_usd"] < 0.01


def test_it_is_listed_without_the_provider_too(folder: Path, server: OpenAIServer) -> None:
    before = len(server.seen)
    assert "batch_1" in distil(folder, "batches", "--offline").stdout and len(server.seen) == before
    server.trouble_for = no_reading
    shown = distil(folder, "batches").stdout
    assert "batch_1" in shown and "could not be asked" in " ".join(shown.split())


def test_cancelled_kept_forgotten_and_asked_again(folder: Path, server: OpenAIServer) -> None:
    said = distil(folder, "batches", "cancel", "batch_1")
    assert said.exit_code == 0 and "distil collect" in said.output
    assert server.desk.batches["batch_1"]["status"] == "cancelled"
    distil(folder, "collect")
    assert server.answered == []  # nothing is bought again by itself
    listed = distil(folder, "batches").stdout
    assert "cancelled" in listed and "distil batches forget batch_1" in " ".join(listed.split())
    assert "6 prompts will be asked again" in distil(folder, "batches", "forget", "batch_1").output
    assert distil(folder, "batches").stdout.strip() == "No batch is unfinished."
    server.desk.looks_until_done = 1
    distil(folder, "collect")
    assert len(server.answered) == 6


def test_forgetting_a_running_batch_says_what_it_may_cost(folder: Path) -> None:
    said = json.loads(distil(folder, "batches", "forget", "batch_1", "--json").stdout)
    assert said["asked_again"] == 6 and said["maybe_usd"] > 0
    uncertain = json.loads(distil(folder, "ledger", "--json").stdout)["uncertain"]
    assert uncertain == {"requests": 6, "usd": pytest.approx(said["maybe_usd"])}


def test_a_batch_that_is_gone_says_so(folder: Path, server: OpenAIServer) -> None:
    server.desk.batches.clear()
    shown = " ".join(distil(folder, "batches").stdout.split())
    assert "gone" in shown and "the next `distil collect` lets it go" in shown
    refused = distil(folder, "batches", "cancel", "batch_1").exception
    assert "distil batches forget batch_1" in str(refused)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["cancel"], "Which batch?"),
        (["forget"], "Which batch?"),
        (["list", "batch_1"], "Did you mean"),
        (["cancel", "batch_9"], "There are: batch_1"),
        (["forget", "batch_9"], "There are: batch_1"),
    ],
)
def test_a_wrong_name_says_which_there_are(folder: Path, arguments: list[str], words: str) -> None:
    error = distil(folder, "batches", *arguments).exception
    assert isinstance(error, UserError) and words in str(error)


def test_no_word_of_a_provider_moves_the_cursor(folder: Path, server: OpenAIServer) -> None:
    server.desk.status = "\x1b[2J\x1b]0;title\x07"
    assert "\x1b" not in distil(folder, "batches").stdout and "\x07" not in distil(folder, "batches").stdout


def test_batches_that_never_got_a_name_are_listed_by_ours(tmp_path: Path) -> None:
    (tmp_path / "distil.yaml").write_text(yaml.safe_dump({"prompts": {"path": "p.jsonl"}, "teachers": []}))
    job = BatchFolder(Project(tmp_path).batches).new("openai/gpt-4o-mini", "chat", [BatchRow("call_0", 0, {}, 0.01)])
    assert job.intent in distil(tmp_path, "batches", "--offline").stdout
