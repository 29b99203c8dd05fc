"""An answer has the form that its prompt requires: JSON, schema, expression, choices, callable tools; its length and echo."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from distil.curate.config import CurateConfig
from distil.curate.evidence.corpus import Corpus, Pair, describe_corpus
from distil.curate.evidence.extent import echo, length
from distil.curate.evidence.requirements import json_form, json_schema
from distil.curate.evidence.tools import tool_calls
from distil.curate.stage import run
from distil.errors import UserError
from distil.json_schema import requirement_of
from distil.records import Message, Prompt
from distil.runs.jsonl import read_examples
from tests.curate.material import answer, distinct_text, objection, project_with, prompt

PLAIN = Corpus(json_share=0.0, same_script_share=1.0, answers=100)
SCHEMA = {
    "type": "object",
    "properties": {"intent": {"enum": ["refund", "other"]}, "amount": {"type": "number"}},
    "required": ["intent", "amount"],
    "additionalProperties": False,
}
FORMAT = {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('{"intent": "refund", "amount": 3}', None),
        ('```json\n{"intent": "refund", "amount": 3}\n```', None),
        ('{"intent": "refund"}', "'amount' is a required property"),
        ('{"intent": "return", "amount": 3}', "intent: 'return' is not one of"),
        ('{"intent": "refund", "amount": "three"}', "amount: 'three' is not of type 'number'"),
        ('{"intent": "refund", "amount": 3, "note": ""}', "'note' was unexpected"),
        ('[{"intent": "refund", "amount": 3}]', "is not of type 'object'"),
    ],
)
def test_answers_that_break_their_schema_are_dropped(text: str, fault: str | None) -> None:
    asked = prompt("q", response_format=FORMAT)
    reason = objection("schema", asked, answer(asked, text))
    assert reason is None if fault is None else fault in str(reason)


@pytest.mark.parametrize(
    "response_format",
    [
        FORMAT,
        {"type": "json_schema", "name": "x", "schema": SCHEMA},
        {"type": "json_object", "schema": SCHEMA},
        {"type": "json", "value": SCHEMA},
        {"structured_outputs": {"json": SCHEMA}},
        SCHEMA,
    ],
)
def test_the_schema_is_found_in_any_shape(response_format: dict[str, Any]) -> None:
    assert requirement_of(response_format).schema == SCHEMA
    asked = prompt("q", response_format=response_format)
    assert objection("invalid_json", asked, answer(asked, "It is a refund."))


def test_json_mode_asks_for_an_object() -> None:
    asked = prompt("q", response_format={"type": "json_object"})
    assert "a JSON list" in str(objection("invalid_json", asked, answer(asked, "[1]")))
    assert objection("invalid_json", asked, answer(asked, '{"a": 1}')) is None
    bare = prompt("q", response_format={"type": "json_schema", "json_schema": {"schema": {"enum": ["a", "b"]}}})
    assert objection("invalid_json", bare, answer(bare, '"a"')) is None
    assert "not one of" in str(objection("schema", bare, answer(bare, '"c"')))


def test_keys_beside_the_schema_are_suspicious_or_wrong() -> None:
    loose = {name: value for name, value in SCHEMA.items() if name != "additionalProperties"}
    text = '{"intent": "refund", "amount": 3, "note": ""}'
    for strict, value in ((False, 0.5), (True, 1)):
        asked = prompt("q", response_format={"type": "json_schema", "json_schema": {"schema": loose, "strict": strict}})
        found = json_schema(asked, answer(asked, text), PLAIN)
        assert found is not None and found.value == value and "note" in str(found.detail)


@pytest.mark.parametrize(
    ("response_format", "good", "bad"),
    [
        ({"type": "regex", "pattern": "(yes|no)"}, "yes", "maybe"),
        ({"type": "regex", "value": r"\d{3}"}, "123", "1234"),
        ({"structured_outputs": {"regex": r"\w+@\w+\.com"}}, "a@b.com", "a at b"),
        ({"structured_outputs": {"choice": ["positive", "negative"]}}, "Positive.", "It is positive"),
        ({"choice": ["card_arrival", "refund"]}, "Card arrival", "card"),
    ],
)
def test_expressions_and_choices_are_required(response_format: dict[str, Any], good: str, bad: str) -> None:
    asked = prompt("q", response_format=response_format)
    assert objection("schema", asked, answer(asked, good)) is None
    assert objection("schema", asked, answer(asked, bad))


@pytest.mark.parametrize("broken", [{"type": "json_object", "schema": {"type": "nothing"}}, {"regex": "(a"}])
def test_a_requirement_that_is_none_stops_with_advice(broken: dict[str, Any]) -> None:
    asked = prompt("q", response_format=broken)
    with pytest.raises(UserError, match=r"\[default, -schema\]"):
        objection("schema", asked, answer(asked, '{"a": 1}'))


def test_prose_in_a_mixed_task_is_kept() -> None:
    """102 answers in JSON and 18 to `In plain words, ...` in prose: a majority of 85% proves nothing about the rest."""
    mixed = Corpus(json_share=0.85, same_script_share=1.0, answers=120)
    asked = prompt("In plain words, what is the balance?")
    assert objection("invalid_json", asked, answer(asked, "It is three dollars."), mixed) is None
    found = json_form(asked, answer(asked, "It is three dollars."), mixed)
    assert found is not None and found.value == 0.85
    told = prompt("Balance?", system="Reply in JSON.")
    assert objection("invalid_json", told, answer(told, "It is three dollars."), mixed)


def test_json_is_usual_by_the_kind_of_prompt() -> None:
    """Six prompts of a kind that is answered in prose are not even suspicious; a broken answer of the other kind is."""
    asked = [prompt(f"Extract the total of order {i}.") for i in range(60)]
    told = [prompt(f"In plain words, what is in order {i}?") for i in range(6)]
    pairs = [(p, answer(p, '{"total": 1}')) for p in asked] + [(p, answer(p, "A lamp.")) for p in told]
    corpus = describe_corpus(pairs)
    assert json_form(told[0], answer(told[0], "A lamp."), corpus) is None
    broken = json_form(asked[0], answer(asked[0], "The total is 1."), corpus)
    assert broken is not None and broken.value == pytest.approx(60 / 66)


def test_fenced_json_is_kept_without_its_fence(tmp_path: Path) -> None:
    prompts = [prompt(distinct_text(i), response_format={"type": "json_object"}) for i in range(4)]
    answers = [answer(p, f'{{"n": {i}}}' if i else '```json\n{"n": 0}\n```') for i, p in enumerate(prompts)]
    project = project_with(tmp_path, prompts, answers)
    result = run(project, CurateConfig(test=0, validation=0))
    assert (result.train, result.dropped) == (4, {})
    assert {row.answer for row in read_examples(project.split("train"))} == {f'{{"n": {i}}}' for i in range(4)}
    evidence = project.evidence.read_text(encoding="utf-8")
    assert evidence.count('"unfence"') == 1 and "```json" in evidence


TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        },
    }
]


def called(arguments: object, name: str = "weather", key: str = "1") -> dict[str, Any]:
    return {"id": key, "type": "function", "function": {"name": name, "arguments": arguments}}


@pytest.mark.parametrize(
    ("calls", "fault"),
    [
        ([called('{"city": "Paris"}'), called('{"city": "Rome"}', key="2")], None),
        ([called("{city: Paris}")], "can't be read as a JSON object"),
        ([called('{"city": "Paris"}', name="wether")], "calls the tool 'wether'"),
        ([called("{}")], "'city' is a required property"),
        ([called('{"city": 3}')], "is not of type 'string'"),
        ([called('{"city": "Paris"}'), called('{"city": "Rome"}')], "two calls have the id '1'"),
    ],
)
def test_calls_that_no_program_can_carry_out_are_dropped(calls: list[dict[str, Any]], fault: str | None) -> None:
    asked = prompt("weather?", tools=TOOLS)
    reason = objection("tool_calls", asked, answer(asked, "").model_copy(update={"tool_calls": calls}))
    assert reason is None if fault is None else fault in str(reason)


def test_arguments_beside_a_tools_schema_are_suspicious() -> None:
    asked = prompt("weather?", tools=TOOLS)
    given = answer(asked, "").model_copy(update={"tool_calls": [called('{"city": "Paris", "unit": "C"}')]})
    found = tool_calls(asked, given, PLAIN)
    assert found is not None and found.value == 0.5 and "unit" in str(found.detail)


def test_broken_calls_of_earlier_turns_are_seen() -> None:
    turns = [
        Message(role="user", content="weather?"),
        Message(role="assistant", tool_calls=[called("{city")]),
        Message(role="tool", tool_call_id="1", content="sunny"),
        Message(role="user", content="thanks"),
    ]
    asked = Prompt.make(turns, tools=TOOLS)
    assert "the prompt has a call of weather" in str(objection("tool_calls", asked, answer(asked, "Sunny.")))
    turns[1] = turns[1].model_copy(update={"weight": 0})
    unlearned = Prompt.make(turns, tools=TOOLS)
    assert objection("tool_calls", unlearned, answer(unlearned, "Sunny.")) is None


def test_an_unusual_length_is_noted_in_both_directions() -> None:
    pairs = [Pair(p := prompt(f"q{i}"), answer(p, "word " * (20 + i % 10))) for i in range(60)]
    for text in ("word " * 2_000, "w"):
        pairs.append(Pair(p := prompt(text[:9]), answer(p, text)))
    found = length(pairs, PLAIN)
    assert found[:60] == [None] * 60
    longest, shortest = found[-2:]
    assert longest is not None and longest.value > 4 and "10,000 characters, where 122 are usual" in str(longest.detail)
    assert shortest is not None and shortest.value < -4
    assert length(pairs[:10], PLAIN) == [None] * 10


def test_an_echo_is_noted_unless_it_is_the_task() -> None:
    question = "My parcel has not come yet although the app has said for three days that it is at the door. " * 2
    parrot = Pair(p := prompt(question), answer(p, question))
    editor = Pair(p := prompt(f"Proofread this text: {question}"), answer(p, question))
    honest = Pair(
        p := prompt(question + "Where?"), answer(p, "It waits at the depot, and we will bring it on Monday. " * 3)
    )
    first, second, third = echo([parrot, editor, honest], PLAIN)
    assert first is not None and first.value == 1 and second is None and third is None
    copying = [Pair(p := prompt(f"{question} {i}"), answer(p, f"{question} {i}")) for i in range(40)]
    assert echo(copying, PLAIN) == [None] * 40


def test_real_answers_are_no_echoes_of_their_prompts(data_dir: Any) -> None:
    lines = data_dir("alpaca_eval/claude-2.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    pairs = [Pair(p := prompt(row["prompt"]), answer(p, row["output"])) for row in rows]
    assert sum(found is not None and found.value >= 0.9 for found in echo(pairs, PLAIN)) == 0
