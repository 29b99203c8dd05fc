"""Logs of requests that were paid for elsewhere go into the ledger, and collecting finds them there."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from distil.calls.config import TeacherConfig
from distil.calls.ledger.store import Ledger
from distil.collect import stage
from distil.collect.config import CollectConfig
from distil.collect.importing import import_logs
from distil.collect.logs import Logged, Unusable, read_logs
from distil.endings import ending
from distil.errors import UserError
from distil.prompts.config import PromptsConfig
from distil.prompts.stage import run as load_prompts
from distil.records import Answer
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_records
from tests.sources.shapes import CLAUDE, CLAUDE_REQUEST, GEMINI, GEMINI_REQUEST, LOGS, TOOL
from tests.wire.openai import OpenAIServer

Make = Callable[..., TeacherConfig]
MODEL = "gpt-4o-mini-2024-07-18"


def asked(n: int) -> dict[str, Any]:
    return {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": f"question {n}"}], "temperature": 1}


def replied(n: int, model: str = MODEL) -> dict[str, Any]:
    message = {"role": "assistant", "content": f"logged {n}", "refusal": None, "annotations": []}
    usage = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return {"id": f"chatcmpl-{n}", "object": "chat.completion", "model": model, "choices": [choice], "usage": usage}


def log(folder: Path, *lines: Any, name: str = "log.jsonl") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def batch_answer(n: int, status: int = 200) -> dict[str, Any]:
    return {
        "id": f"b{n}",
        "custom_id": f"row-{n}",
        "response": {"status_code": status, "body": replied(n)},
        "error": None,
    }


def test_every_log_shape_is_imported_and_not_asked_again(project: Project, server: OpenAIServer, teacher: Make) -> None:
    chat = {"messages": [*asked(3)["messages"], {"role": "assistant", "content": "logged 3"}], "model": MODEL}
    one = log(
        project.root,
        {"request": asked(0), "response": replied(0)},
        {"request": {"method": "POST", "body": asked(1)}, "response": {"status": 200, "body": replied(1)}},
        {**replied(2), "messages": asked(2)["messages"]},
        chat,
        {"input": asked(4)["messages"], "output": replied(4)},
    )
    requests = log(project.root, *({"custom_id": f"row-{n}", "body": asked(n)} for n in (5, 6)), name="in.jsonl")
    replies = log(project.root, batch_answer(6), batch_answer(5), name="out.jsonl")
    result = import_logs(project, teacher(), [one, requests, replies])
    assert (result.imported, result.known, result.unusable) == (7, 0, 0) and result.input_tokens == 6 * 9
    collected = stage.run(project, CollectConfig(), [teacher()])
    assert collected.answers == 12 and collected.new == 5 and len(server.answered) == 5
    texts = [answer.text for answer in read_records(project.answers, Answer)]
    assert texts[:8] == [f"logged {n}" for n in range(7)] + ["An answer to: question 7"]
    with Ledger(project.ledger) as ledger:
        assert ledger.spent("import") == 0 and len(list(ledger.calls("import"))) == 7


def test_importing_is_idempotent_and_repeats_become_samples(project: Project, teacher: Make) -> None:
    second = replied(0) | {"id": "chatcmpl-x", "choices": [{"message": {"content": "again"}, "finish_reason": "stop"}]}
    path = log(project.root, {"request": asked(0), "response": replied(0)}, {"request": asked(0), "response": second})
    assert import_logs(project, teacher(), [path]).imported == 2
    again = import_logs(project, teacher(), [path])
    assert (again.imported, again.known) == (0, 2)
    answers = stage.run(project, CollectConfig(samples=2), [teacher()], limit=1)
    assert answers.new == 0 and answers.answers == 2


def test_errors_and_other_models_are_skipped_and_counted(project: Project, teacher: Make) -> None:
    path = log(
        project.root,
        {"request": asked(0), "response": replied(0)},
        {"request": asked(1), "response": {"error": {"message": "overloaded"}}},
        {"request": asked(2), "response": replied(2, "gpt-3.5-turbo")},
        {"custom_id": "row-3", "body": asked(3)},
        batch_answer(3, 500),
        batch_answer(4),
    )
    result = import_logs(project, teacher(), [path])
    assert (result.imported, result.other_models, result.unusable) == (1, 1, 3)
    assert "line 2: the reply is an error" in result.examples[0]
    assert import_logs(project, teacher(), [path], any_model=True).imported == 1


def test_an_unusable_log_is_refused_with_what_was_found(project: Project, teacher: Make) -> None:
    others = log(project.root, {"request": asked(0), "response": replied(0, "gpt-3.5-turbo")})
    with pytest.raises(UserError, match=r"found gpt-3\.5-turbo"):
        import_logs(project, teacher(), [others])
    strange = log(project.root, {"hello": 1})
    with pytest.raises(UserError, match=r"line 1: found the fields hello; expected a request with its reply"):
        import_logs(project, teacher(), [strange])
    failed = log(project.root, {"request": asked(0), "response": {"error": "x"}})
    with pytest.raises(UserError, match="no line holds a request with its reply"):
        import_logs(project, teacher(), [failed])
    broken = project.root / "broken.jsonl"
    broken.write_text('{"request": ')
    with pytest.raises(UserError, match="line 1: not valid JSON"):
        import_logs(project, teacher(), [broken])
    with pytest.raises(UserError, match=r"recorded/FILE\.jsonl"):
        import_logs(project, TeacherConfig(model="bundled/teacher"), [others])
    with pytest.raises(UserError, match="does not exist"):
        import_logs(project, teacher(), [project.root / "none.jsonl"])


def test_the_summary_names_imported_and_skipped_lines(project: Project, teacher: Make) -> None:
    path = log(
        project.root,
        {"request": asked(0), "response": replied(0)},
        {"request": asked(1), "response": {"error": {"message": "overloaded"}}},
        {"request": asked(2), "response": replied(2, "gpt-3.5-turbo")},
    )
    first, others, unusable = import_logs(project, teacher(), [path]).lines()
    assert "1 imported at no cost" in first and "they answer 1 of 12 prompts" in first
    assert "because of their model: 1" in others and "--any-model" in others
    assert "line 2: the reply is an error" in unusable


def test_a_log_that_answers_no_prompt_is_refused(project: Project, server: OpenAIServer, teacher: Make) -> None:
    path = log(project.root, {"request": asked(99), "response": replied(99)})
    with pytest.raises(UserError, match=r"None of the 1 replies .* 12 prompts.*--set\s+prompts\.path="):
        import_logs(project, teacher(), [path])


def test_api_keys_in_a_log_stay_out_of_the_ledger(project: Project, teacher: Make) -> None:
    secret = "sk-somebody-logged-this-0123456789"
    headers = {"Authorization": f"Bearer {secret}"}
    path = log(
        project.root,
        {"request": {**asked(0), "headers": headers}, "response": {**replied(0), "headers": headers}},
        {**replied(1), "messages": asked(1)["messages"], "request_headers": headers},
    )
    assert import_logs(project, teacher(), [path]).imported == 2
    with Ledger(project.ledger) as ledger:
        bodies = [ledger.body(call.id) for call in ledger.calls()]
    assert len(bodies) == 2 and secret not in str(bodies)


@pytest.mark.parametrize(
    "model",
    ["anthropic/claude-sonnet-4-5", "google/gemini-2.5-flash", "openai-responses/gpt-5", "openai/gpt-4o", "bedrock/x"],
)
@pytest.mark.parametrize("name", LOGS)
def test_any_log_answers_the_questions_of_any_teacher(model: str, name: str, tmp_path: Path) -> None:
    project = Project(tmp_path)
    path = log(tmp_path, {**LOGS[name]})
    teacher = TeacherConfig(model=model)
    load_prompts(project, PromptsConfig(path=path.name))
    result = import_logs(project, teacher, [path], any_model=True)
    assert (result.imported, result.answered, result.unusable) == (1, 1, 0)
    collected = stage.run(project, CollectConfig(), [teacher])
    (answer,) = read_records(project.answers, Answer)
    assert (collected.new, answer.text) == (0, "Yo.") and ending(answer.finish_reason) == "ok"


def test_tool_calls_and_cut_answers_of_logs_stay_what_they_are(tmp_path: Path) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    turns = [{"role": "user", "content": f"q{n}"} for n in range(2)]
    lines = [
        {
            "type": "GENERATION",
            "input": {"messages": turns[:1], "tools": [TOOL]},
            "output": {"role": "assistant", "tool_calls": [call]},
        },
        {"messages": [turns[1], {"role": "assistant", "content": "half an"}], "finish_reason": "length", "model": "m"},
    ]
    for model in (
        "anthropic/claude-sonnet-4-5",
        "google/gemini-2.5-flash",
        "openai-responses/gpt-5",
        "openai/gpt-4o",
        "bedrock/x",
    ):
        folder = tmp_path / model.replace("/", "-")
        path = log(folder, *lines)
        project, teacher = Project(folder), TeacherConfig(model=model)
        load_prompts(project, PromptsConfig(path=path.name))
        assert import_logs(project, teacher, [path], any_model=True).answered == 2
        stage.run(project, CollectConfig(), [teacher])
        called, cut = read_records(project.answers, Answer)
        assert called.tool_calls is not None and called.tool_calls[0]["function"] == call["function"]
        assert (cut.text, ending(cut.finish_reason)) == ("half an", "cut")


def test_batches_of_every_provider_are_paired(tmp_path: Path) -> None:
    lines = [
        {"custom_id": "a", "params": CLAUDE_REQUEST},
        {"custom_id": "a", "result": {"type": "succeeded", "message": CLAUDE}},
        {"key": "g", "request": GEMINI_REQUEST},
        {"key": "g", "response": GEMINI},
        {"custom_id": "e", "params": CLAUDE_REQUEST},
        {"custom_id": "e", "result": {"type": "errored", "error": {"type": "invalid_request_error"}}},
        {"custom_id": "x", "result": {"type": "succeeded", "message": CLAUDE}},
    ]
    found = list(read_logs([log(tmp_path, *lines)]))
    answered = [line for line in found if isinstance(line, Logged)]
    assert [line.answer.parsed.text for line in answered] == ["Yo.", "Yo."]
    assert [line.why for line in found if isinstance(line, Unusable)] == [
        "the request failed (errored)",
        "a batch reply without its request: import the batch's input file as well",
    ]
