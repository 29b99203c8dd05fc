"""Public reports of tool calls that are compared wrongly or kept although nobody could carry them out."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from distil.calls.config import Price, TeacherConfig
from distil.collect.config import CollectConfig
from distil.collect.stage import run as collect
from distil.curate.choose import Grounds, by_agreement
from distil.curate.config import CurateConfig
from distil.curate.duplicates import drop_redundant
from distil.curate.evidence.corpus import Pair
from distil.curate.evidence.tools import call_fault
from distil.curate.stage import run as curate
from distil.curate.votes import describe_task
from distil.errors import UserError
from distil.evaluate.metrics.match import exact_match
from distil.evaluate.metrics.table import Case
from distil.evaluate.metrics.tools import tool_arguments, tool_calls, tool_name
from distil.prompts.config import PromptsConfig
from distil.prompts.stage import run as load_prompts
from distil.records import Answer, Example, Message, Prompt, Sampling, Verdict
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_examples, read_records
from tests.calls.batch.desk import MODELS, make_server

TOOL = {
    "type": "function",
    "function": {
        "name": "find_order",
        "parameters": {
            "type": "object",
            "properties": {"order": {"type": "integer"}, "region": {"enum": ["EU", "US"]}},
            "required": ["order"],
            "additionalProperties": False,
        },
    },
}
OTHER = {"type": "function", "function": {"name": "refund"}}


def call(arguments: Any, name: str = "find_order", number: int = 0) -> dict[str, Any]:
    given = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return {"id": f"call_{number}", "type": "function", "function": {"name": name, "arguments": given}}


def case(answer: str, calls: list[Any], teacher: str, teacher_calls: list[Any]) -> Case:
    return Case("prompt", answer, teacher, None, tool_calls=calls, teacher_tool_calls=teacher_calls)


def test_saying_nothing_is_not_the_teachers_call() -> None:
    """public-bugs 14: adk-python #5643 (the teacher calls a tool, the student says nothing: exact match was 1.0)."""
    silent = case("", [], "", [call({"order": 17})])
    assert exact_match([silent]) == tool_calls([silent]) == tool_name([silent]) == [0.0]
    invented = case("", [call({"order": 17})], "", [])
    assert exact_match([invented]) == [0.0]
    told = case("It is on its way.", [call({"order": 17})], "It is on its way.", [])
    assert exact_match([told]) == [0.0]


@pytest.mark.parametrize(
    "arguments",
    [
        {"region": "EU", "order": 17},
        {"order": 17.0, "region": "EU"},
        '{ "region" : "EU",\n"order":17.0 }',
    ],
)
def test_keys_reordered_and_a_number_as_1_0_are_the_same_call(arguments: Any) -> None:
    """public-bugs 15: ragas #1658."""
    same = case("", [call(arguments, number=9)], "", [call({"order": 17, "region": "EU"})])
    assert exact_match([same]) == tool_calls([same]) == tool_arguments([same]) == [1.0]


@pytest.mark.parametrize(
    "calls",
    [
        [call({"order": 18, "region": "EU"})],
        [call({"order": "17x", "region": "EU"})],
        [call({"order": 17})],
        [call({"order": 17, "region": "EU"}, name="find_orders")],
        [call({"order": 17, "region": "EU"}), call({"order": 17, "region": "EU"})],
        [call("order 17 in the EU")],
        [call('{"order": 17, "order": 18, "region": "EU"}')],
    ],
)
def test_another_call_is_another_answer(calls: list[Any]) -> None:
    other = case("", calls, "", [call({"order": 17, "region": "EU"})])
    assert exact_match([other]) == tool_calls([other]) == [0.0]


def test_the_order_and_the_ids_of_calls_do_not_count() -> None:
    two = [call({"order": 1}, number=1), call({"order": 2}, number=2)]
    again = [call({"order": 2}, number=7), call({"order": 1}, number=8)]
    assert exact_match([case("", again, "", two)]) == [1.0]


def pair(text: str = "", calls: list[Any] | None = None, question: str = "Where is 17?", **fields: Any) -> Pair:
    prompt = Prompt.make([Message(role="user", content=question)], tools=[TOOL, OTHER], **fields)
    settings = {"teacher": "openai/x", "sampling": Sampling(), "finish_reason": "tool_calls", "call_id": "call_0"}
    made = {"id": f"answer_{text}{calls}", "prompt_id": prompt.id, "text": text, "tool_calls": calls} | settings
    return Pair(prompt, Answer.model_validate(made))


def reason(found: Pair) -> str | None:
    return call_fault(found.prompt, found.answer)


@pytest.mark.parametrize(
    ("calls", "words"),
    [
        ([call({"order": 17})], None),
        ([call({"order": 17, "region": "US"}), call({}, name="refund", number=1)], None),
        ([call({"order": 17}, name="find_ordre")], "calls the tool 'find_ordre'"),
        ([call('{"order": 17')], "can't be read as a JSON object"),
        ([call("[17]")], "can't be read as a JSON object"),
        ([call('{"order": 17, "order": 18}')], "can't be read as a JSON object"),
        ([call({})], "'order' is a required property"),
        ([call({"order": "17"})], "order: '17' is not of type 'integer'"),
        ([call({"order": 17, "region": "UK"})], "region: 'UK' is not one of"),
        ([call({"order": 17, "note": "x"})], "Additional properties are not allowed"),
    ],
)
def test_calls_are_checked_against_their_schemas(calls: list[Any], words: str | None) -> None:
    found = reason(pair(calls=calls))
    assert (found is None) if words is None else words in str(found)


def test_a_call_without_tools_is_dropped() -> None:
    prompt = Prompt.make([Message(role="user", content="?")])
    found = pair(calls=[call({"order": 17})])._replace(prompt=prompt)
    assert "the prompt has no tools" in str(reason(found))


@pytest.mark.parametrize(
    ("choice", "calls", "words"),
    [
        ("required", None, "asks for any"),
        ("none", [call({"order": 17})], "tool_choice is none"),
        ({"type": "function", "function": {"name": "refund"}}, [call({"order": 17})], "another tool than refund"),
        ({"type": "function", "function": {"name": "find_order"}}, [call({"order": 17})], None),
        ("required", [call({"order": 17})], None),
        ("none", None, None),
        (None, None, None),
    ],
)
def test_the_prompts_tool_choice_is_kept(choice: Any, calls: Any, words: str | None) -> None:
    found = reason(pair("" if calls else "Soon.", calls, tool_choice=choice))
    assert (found is None) if words is None else words in str(found)


@pytest.mark.parametrize("parameters", [{"type": "objekt"}, {"$ref": "https://example.org/schema.json"}])
def test_a_tool_without_a_schema_is_named(parameters: dict[str, Any]) -> None:
    found = pair(calls=[call({"order": 17})])
    tool = {"type": "function", "function": {"name": "find_order", "parameters": parameters}}
    with pytest.raises(UserError, match=r"The tool find_order of prompt .* not a JSON schema"):
        reason(found._replace(prompt=Prompt.make(found.prompt.messages, tools=[tool])))


def test_votes_and_duplicates_look_at_the_calls() -> None:
    """Calls have no text: by their texts alone all of them are one answer."""
    pairs = [pair(calls=[call({"order": n}, number=i)]) for i, n in enumerate([2, 1, 1])]
    answers = [found.answer for found in pairs]
    chosen = by_agreement(pairs[0].prompt, answers, Grounds(describe_task(pairs)))
    assert chosen.answers[0].tool_calls == answers[1].tool_calls and chosen.reason.startswith("majority: 2 of 3")
    verdicts: list[Any] = []
    rows = [pair(calls=[call({"order": 1}, number=1)]), pair(calls=[call({"order": 1.0}, number=2)])]
    assert len(drop_redundant(rows, 0.85, verdicts)) == 1
    rows = [pair(calls=[call({"order": 1})]), pair(calls=[call({"order": 2})])]
    assert len(drop_redundant(rows, 0.85, [])) == 2


def test_an_example_keeps_calls_in_openais_fine_tuning_shape() -> None:
    found = pair(calls=[call({"order": 17})], tool_choice="required")
    example = Example.of(found.prompt, found.answer, "train")
    line = example.to_chat()
    assert line["messages"][-1] == {"role": "assistant", "content": None, "tool_calls": [call({"order": 17})]}
    assert line["tools"] == [TOOL, OTHER] and Example.from_chat(json.loads(json.dumps(line))) == example


@pytest.fixture(params=["openai", "anthropic", "google"])
def teacher(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[TeacherConfig]:
    """A teacher of each wire format that calls the tool which the question names, with the arguments in it."""
    server = make_server(request.param)
    model, variable, key = MODELS[request.param]
    monkeypatch.setenv(variable, key)
    server.answer = lambda body: called(request.param, json.dumps(body))  # type: ignore[assignment]
    with server:
        yield TeacherConfig(model=model, base_urls=[server.url], price=Price(input=1, output=2))


def called(vendor: str, asked: str) -> Any:
    found = re.search(r"call (\w+) with (\S+?)\.", asked)
    assert found is not None
    name, given = found[1], {"order": int(found[2])} if found[2].isdigit() else {"order": found[2]}
    if vendor == "openai":
        return {"role": "assistant", "content": None, "refusal": None, "tool_calls": [call(given, name)]}
    if vendor == "google":
        return [{"functionCall": {"name": name, "args": given}}]
    return [{"type": "tool_use", "id": "toolu_1", "name": name, "input": given}]


def test_calls_go_from_the_teacher_to_the_training_file(teacher: TeacherConfig, tmp_path: Path) -> None:
    """Loaded, asked for, collected, checked and written in OpenAI's shape, whatever the provider's."""
    questions = ["call find_order with 17.", "call find_order with seventeen.", "call find_ordre with 18."]
    rows = [
        {"messages": [{"role": "user", "content": q}], "tools": [TOOL, OTHER], "tool_choice": "required"}
        for q in questions
    ]
    (tmp_path / "p.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    project = Project(tmp_path)
    load_prompts(project, PromptsConfig(path="p.jsonl"))
    collect(project, CollectConfig(budget_usd=None), [teacher])
    curate(project, CurateConfig(validation=0.0, test=0))
    (example,) = read_examples(project.split("train"))
    (made,) = example.messages[-1].tool_calls or []
    assert (made["type"], made["function"]["name"]) == ("function", "find_order")
    assert json.loads(made["function"]["arguments"]) == {"order": 17} and example.tool_choice == "required"
    dropped = {verdict.filter: verdict.reason for verdict in read_records(project.dropped, Verdict)}
    reasons = sorted(verdict.reason for verdict in read_records(project.dropped, Verdict))
    assert set(dropped) == {"tool_calls"} and len(reasons) == 2
    assert "'seventeen' is not of type 'integer'" in reasons[1] and "Did you mean 'find_order'?" in reasons[0]
