"""What other readers get: Markdown that stays Markdown, logs that inspect_ai opens, and samples of lm-evaluation-harness."""

from __future__ import annotations

import importlib.util
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from distil.calls.config import TeacherConfig
from distil.errors import UserError
from distil.evaluate import stage
from distil.evaluate.config import EvaluateConfig
from distil.evaluate.exports.finished import Finished, command, read_finished
from distil.evaluate.exports.inspect_log import write_inspect
from distil.evaluate.exports.lm_eval import write_lm_eval
from distil.evaluate.exports.markdown import markdown
from distil.evaluate.given import elsewhere, from_file
from distil.models.config import StudentConfig
from distil.records import Example
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_examples, write_records
from distil.runs.schemas.notes import EvaluateNotes
from tests.tiny import write_tiny_splits

COUNT = 40
CALL = {"id": "c1", "type": "function", "function": {"name": "find", "arguments": '{"order": 3}'}}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A student that is right on 30 of 40 prompts; a column of the prompts has a hostile value."""
    project = Project(tmp_path_factory.mktemp("work") / "my task")
    write_tiny_splits(project, train=0, validation=0, test=COUNT)

    def marked(number: int, example: Example) -> Example:
        place = "| <script>\x1b[2J\u202e*x* |" if number >= 25 else "b"
        return example.model_copy(update={"fields": {"channel": place}, "group": f"g{number // 2}"})

    write_records(project.split("test"), [marked(*row) for row in enumerate(read_examples(project.split("test")))])
    rows = [
        {"prompt_id": e.prompt_id, "text": e.answer if number < 30 else "no\x1b[2J", "finish_reason": "stop"}
        for number, e in enumerate(read_examples(project.split("test")))
    ]
    rows[-1] |= {"tool_calls": [CALL], "finish_reason": "length"}
    path = project.root / "answers of mine.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    section = EvaluateConfig(metrics=["exact_match", "field_agreement", "truncated"], ceiling=False, margin=0.1)
    stage.run(
        project,
        section,
        name="mine",
        teachers=[TeacherConfig(model="recorded/none.jsonl")],
        student=StudentConfig(),
        answers=elsewhere(str(path), project),
    )
    return read_finished(project, "mine")


def test_markdown_begins_with_the_verdict(finished: Finished) -> None:
    page = markdown(finished)
    assert page.startswith(f"## mine: {finished.summary.verdict.decision}\n\n")
    tables = [block.splitlines() for block in page.split("\n\n") if block.startswith("|")]
    assert tables[0][0] == "| metric | teacher | mine |  |"
    assert any("answers as the teacher | - | 0.750 (" in line for line in tables[0])
    for block in tables:
        assert len({line.replace("\\|", "").count("|") for line in block}) == 1
    assert "Used so far for 1 student in 1 evaluation." in page


def test_markdown_holds_no_markup_of_others(finished: Finished) -> None:
    page = markdown(finished)
    assert "\x1b" not in page and "\u202e" not in page and "<script>" not in page
    assert "&lt;script&gt;␛\\[2J⟨U+202E⟩\\*x\\*" in page


def test_the_command_to_do_it_again_is_whole(finished: Finished) -> None:
    assert command(finished) == (
        "distil evaluate --answers 'answers of mine.jsonl' --as mine "
        """--set 'evaluate.metrics=["exact_match", "field_agreement", "truncated"]' --set evaluate.ceiling=false """
        "--set evaluate.margin=0.1"
    )
    assert EvaluateNotes.of(finished.manifest).answers == "answers of mine.jsonl"


@pytest.mark.parametrize("suffix", ["json", "eval"])
def test_a_log_has_a_sample_for_each_prompt(suffix: str, finished: Finished, tmp_path: Path) -> None:
    path = tmp_path / "logs" / f"mine.{suffix}"
    assert write_inspect(finished, path) == COUNT
    header, samples = _log(path)
    assert (header["version"], header["status"], header["eval"]["model"]) == (2, "success", "mine")
    names = [score["name"] for score in header["results"]["scores"]]
    assert sorted(names) == ["exact_match", "field_agreement", "truncated"]
    score = next(s for s in header["results"]["scores"] if s["name"] == "exact_match")["metrics"]
    assert score["mean"]["value"] == 0.75
    assert score["stderr"]["value"] == pytest.approx(0.0993, abs=1e-3)  # 20 pairs: sqrt(.1875 / 19)
    assert {s["id"] for s in samples} == {f"prompt_{i}" for i in range(COUNT)}
    by_id = {s["id"]: s for s in samples}
    last = by_id[f"prompt_{COUNT - 1}"]
    assert last["messages"][-1]["tool_calls"][0]["arguments"] == {"order": 3}
    assert last["output"]["choices"][0]["stop_reason"] == "max_tokens"
    assert by_id["prompt_0"]["target"] == "order 0"


def _log(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    if path.suffix == ".json":
        log = json.loads(path.read_text())
        return log, log["samples"]
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if name.startswith("samples/")]
        assert len(json.loads(archive.read("summaries.json"))) == COUNT
        return json.loads(archive.read("header.json")), [json.loads(archive.read(name)) for name in names]


@pytest.mark.skipif(importlib.util.find_spec("inspect_ai") is None, reason="inspect_ai is not installed")
@pytest.mark.parametrize("suffix", ["json", "eval"])
def test_inspect_ai_reads_the_log(suffix: str, finished: Finished, tmp_path: Path) -> None:
    from inspect_ai.log import read_eval_log  # type: ignore[import-not-found, unused-ignore]

    path = tmp_path / f"mine.{suffix}"
    write_inspect(finished, path)
    log = read_eval_log(str(path))
    assert len(log.samples) == COUNT
    assert log.results.scores[0].metrics["mean"].value == pytest.approx(0.75)


def test_another_suffix_is_refused(finished: Finished, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"expected a file that ends in .eval or .json, such as logs/log.eval"):
        write_inspect(finished, tmp_path / "log.txt")


def test_lm_eval_samples_are_read_back(finished: Finished, tmp_path: Path) -> None:
    results, samples = write_lm_eval(finished, tmp_path / "out")
    assert results.parent == tmp_path / "out" / "mine"
    assert samples.name.startswith("samples_my_task_")
    found = json.loads(results.read_text())
    assert found["results"]["my_task"]["exact_match,none"] == 0.75
    assert found["results"]["my_task"]["exact_match_stderr,none"] == pytest.approx(0.0993, abs=1e-3)
    assert found["higher_is_better"]["my_task"] == {"exact_match": True, "field_agreement": True, "truncated": False}
    rows = [json.loads(line) for line in samples.read_text().splitlines()]
    assert [row["doc_id"] for row in rows] == list(range(COUNT))
    assert rows[0]["exact_match"] == 1.0 and rows[-1]["exact_match"] == 0.0
    examples = [example for example, _ in finished.rows]
    again = from_file(elsewhere(str(samples), finished.project), examples, "again")
    assert [p.text for p in again.predictions] == [p.text for _, p in finished.rows]
