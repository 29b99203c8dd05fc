"""Rows of every shape are read alike: as prompts, as logs, and as recorded answers."""

from __future__ import annotations

from typing import Any

import pytest

from distil.calls.providers.recorded_lines import split_line
from distil.errors import UserError
from distil.prompts.rows import to_prompt
from distil.records import Message
from distil.sources.replies import Answered
from distil.sources.rows import read_row
from distil.sources.values import Row
from tests.sources.shapes import CHAT, DATA, LOGS, SAID, TOOL, TURNS, langchain

EXPECTED = [Message(role="system", content="Be brief."), Message(role="user", content="Hi?")]


def row(fields: dict[str, Any]) -> Row:
    return Row("f.jsonl, line 1", fields)


@pytest.mark.parametrize("name", [*LOGS, *DATA])
def test_the_question_of_every_shape(name: str) -> None:
    loaded = to_prompt(row({**LOGS, **DATA}[name]), None)
    assert loaded.prompt is not None and loaded.prompt.messages == EXPECTED
    assert loaded.prompt.reference == (None if name in LOGS else "Yo.")  # a model's answer is never a reference
    assert loaded.left_out == ()


@pytest.mark.parametrize("name", [*LOGS, *DATA])
def test_the_answer_of_every_shape(name: str) -> None:
    fields = {**LOGS, **DATA}[name]
    answer = read_row(row(fields)).answer
    if name in ("OpenAI preferences", "OpenAI evals", "Langfuse data set item"):
        assert answer is None  # what is right was not logged
        return
    assert answer is not None and (answer.parsed.text, answer.parsed.finish_reason) in (
        ("Yo.", "stop"),
        ("Yo.", "end_turn"),
    )
    parts = split_line(fields)
    assert parts.asked[0] == EXPECTED and isinstance(parts.answer, Answered) and parts.answer.parsed.text == "Yo."


@pytest.mark.parametrize(
    "name", ["Anthropic", "OpenAI chat", "Gemini", "OpenAI Responses", "Langfuse", "LangSmith", "Braintrust"]
)
def test_tokens_and_models_of_logs_are_read(name: str) -> None:
    answer = read_row(row(LOGS[name])).answer
    assert answer is not None and (answer.parsed.usage.input_tokens, answer.parsed.usage.output_tokens) == (3, 2)
    assert answer.model or name == "LangSmith"


CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
RESULT = [
    Message(role="user", content="Hi?"),
    Message(role="assistant", content=None, tool_calls=[CALL]),
    Message(role="tool", content="42", tool_call_id="c1"),
]
TOOL_TURNS: dict[str, list[dict[str, Any]]] = {
    "OpenAI": [
        {"role": "user", "content": "Hi?"},
        {"role": "assistant", "content": None, "tool_calls": [CALL], "refusal": None, "annotations": [], "audio": None},
        {"role": "tool", "tool_call_id": "c1", "content": "42"},
    ],
    "Anthropic": [
        {"role": "user", "content": "Hi?"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "c1", "name": "f", "input": {"a": 1}}]},
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": "c1", "content": [{"type": "text", "text": "42"}]}],
        },
    ],
    "Bedrock": [
        {"role": "user", "content": [{"text": "Hi?"}]},
        {"role": "assistant", "content": [{"toolUse": {"toolUseId": "c1", "name": "f", "input": {"a": 1}}}]},
        {"role": "user", "content": [{"toolResult": {"toolUseId": "c1", "content": [{"text": "42"}]}}]},
    ],
    "LangChain": [
        langchain("HumanMessage", content="Hi?"),
        langchain(
            "AIMessage", content="", tool_calls=[{"name": "f", "args": {"a": 1}, "id": "c1", "type": "tool_call"}]
        ),
        langchain("ToolMessage", content="42", tool_call_id="c1"),
    ],
    "OpenTelemetry": [
        {"role": "user", "parts": [{"type": "text", "content": "Hi?"}]},
        {"role": "assistant", "parts": [{"type": "tool_call", "id": "c1", "name": "f", "arguments": {"a": 1}}]},
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "response": "42"}]},
    ],
    "Vercel": [
        {"role": "user", "content": "Hi?"},
        {
            "role": "assistant",
            "content": [{"type": "tool-call", "toolCallId": "c1", "toolName": "f", "input": {"a": 1}}],
        },
        {
            "role": "tool",
            "content": [{"type": "tool-result", "toolCallId": "c1", "output": {"type": "text", "value": "42"}}],
        },
    ],
}


@pytest.mark.parametrize("name", TOOL_TURNS)
def test_tool_calls_and_their_results_are_chat_turns(name: str) -> None:
    assert read_row(row({"messages": TOOL_TURNS[name]})).messages() == RESULT


def test_items_of_the_responses_api_are_chat_turns() -> None:
    items = [
        {"role": "user", "content": [{"type": "input_text", "text": "Hi?"}]},
        {"type": "reasoning", "summary": []},
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": '{"a": 1}'},
        {"type": "function_call_output", "call_id": "c1", "output": "42"},
    ]
    exchange = read_row(row({"request": {"input": items}}))
    assert exchange.messages() == RESULT and dict(exchange.left_out) == {"thinking of earlier turns": 1}


def test_gemini_calls_are_found_by_name() -> None:
    contents = [
        {"role": "user", "parts": [{"text": "Hi?"}]},
        {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {"a": 1}}}]},
        {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"result": "42"}}}]},
    ]
    asked, called, told = read_row(row({"contents": contents})).messages()
    assert called.tool_calls is not None and called.tool_calls[0]["function"]["arguments"] == '{"a": 1}'
    assert (asked.text, told.role, told.text) == ("Hi?", "tool", "42")
    assert told.tool_call_id == called.tool_calls[0]["id"]


@pytest.mark.parametrize(
    ("tools", "choice"),
    [
        ([TOOL], {"type": "function", "function": {"name": "f"}}),
        ([{"name": "f", "input_schema": {"type": "object", "properties": {}}}], {"type": "tool", "name": "f"}),
        (
            [{"type": "function", "name": "f", "parameters": TOOL["function"]["parameters"]}],
            {"type": "function", "name": "f"},
        ),  # type: ignore[index]
        ([{"functionDeclarations": [{"name": "f", "parameters": {"type": "OBJECT", "properties": {}}}]}], None),
    ],
    ids=["OpenAI", "Anthropic", "Responses", "Gemini"],
)
def test_tools_of_every_provider_are_openai_tools(tools: list[Any], choice: Any) -> None:
    loaded = to_prompt(
        row({"request": {"messages": TURNS, "tools": tools, "tool_choice": choice}, "response": CHAT}), None
    )
    assert loaded.prompt is not None and loaded.prompt.tools == [TOOL]
    assert loaded.prompt.tool_choice == (choice and {"type": "function", "function": {"name": "f"}})


@pytest.mark.parametrize(
    "given",
    [
        {"structured_outputs": {"json": {"type": "object"}}},
        {"guided_json": '{"type": "object"}'},
        {"extra_body": {"guided_json": {"type": "object"}}},
    ],
)
def test_a_schema_for_guided_decoding_is_kept(given: dict[str, Any]) -> None:
    loaded = to_prompt(row({"request": {"messages": TURNS} | given, "response": CHAT}), None)
    assert loaded.prompt is not None and loaded.prompt.response_format is not None
    assert loaded.prompt.response_format["json_schema"]["schema"] == {"type": "object"}


def test_other_guided_decoding_is_named_as_left_out() -> None:
    loaded = to_prompt(row({"request": {"messages": TURNS, "guided_regex": "a+"}, "response": CHAT}), None)
    assert loaded.prompt is not None and loaded.prompt.response_format is None
    assert "structured_outputs with a regex" in loaded.left_out


def test_the_old_function_call_is_a_tool_call() -> None:
    reply = {
        "choices": [
            {"message": {"content": None, "function_call": {"name": "f", "arguments": "{}"}}, "finish_reason": "stop"}
        ]
    }
    functions = [{"name": "f", "parameters": {"type": "object", "properties": {}}}]
    exchange = read_row(row({"request": {"messages": TURNS, "functions": functions}, "response": reply}))
    assert exchange.asked is not None and exchange.asked.tools == [TOOL]
    assert exchange.answer is not None and exchange.answer.parsed.tool_calls is not None


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"run_type": "chain", "inputs": {"input": "x"}, "outputs": {"output": "y"}}, "steps of kind 'chain'"),
        ({"type": "SPAN", "input": "x", "output": "y"}, "steps of kind 'SPAN'"),
        ({"span_attributes": {"type": "task"}, "input": "x", "output": "y"}, "steps of kind 'task'"),
        ({"attributes": {"gen_ai.operation.name": "execute_tool"}}, "steps of kind 'execute_tool'"),
        ({"attributes": {"gen_ai.operation.name": "chat"}}, "spans without the text of the call"),
        ({"response_id": "1", "signed_body_url": "https://host/x"}, "bodies are not in the file"),
        ({"request": {"messages": [{"role": "user", "content": ""}]}, "response": CHAT}, "calls without a text"),
    ],
)
def test_what_calls_no_model_is_passed_over_by_name(fields: dict[str, Any], reason: str) -> None:
    loaded = to_prompt(row(fields), None)
    assert loaded.prompt is None and loaded.skipped is not None and reason in loaded.skipped


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        ({"error": {"message": "overloaded"}}, "the reply is an error: overloaded"),
        ('{"error": {"message": "overloaded"}}', "the reply is an error"),
        ({"status_code": 500, "body": {}}, "the request failed (500)"),
        ("data: {}\n\ndata: [DONE]", "a stream of events"),
        ({"choices": []}, "the reply has no choices"),
        (None, None),
    ],
)
def test_a_reply_without_an_answer_says_why(reply: Any, why: str | None) -> None:
    exchange = read_row(row({"request": {"messages": TURNS}, "response": reply}))
    assert exchange.answer is None and exchange.asked is not None
    assert exchange.problem is None if why is None else why in str(exchange.problem)


def test_a_json_answer_stays_as_the_model_wrote_it() -> None:
    said = '{"label":  "refund", "message": "x"}'
    for reply in (said, {**SAID, "content": said}):
        answer = read_row(row({"type": "GENERATION", "input": TURNS, "output": reply})).answer
        assert answer is not None and answer.parsed.text == said
    stored = read_row(row({"type": "GENERATION", "input": TURNS, "output": {"label": "x", "n": 1}})).answer
    assert stored is not None and stored.parsed.text == '{"label": "x", "n": 1}'


def test_a_prompt_that_looks_like_json_is_a_text() -> None:
    for text in ('{"a": 1}', '[{"b": 2}]', '["x"]'):
        assert read_row(row({"prompt": text})).messages() == [Message(role="user", content=text)]


def test_a_written_out_conversation_is_taken_apart_only_whole() -> None:
    chosen = {"chosen": "\n\nHuman: Hi?\n\nAssistant: Yo.", "rejected": "\n\nHuman: Hi?\n\nAssistant: No."}
    exchange = read_row(row(chosen))
    assert exchange.messages() == [Message(role="user", content="Hi?")] and exchange.unused == ("rejected",)
    assert exchange.answer is not None and exchange.answer.parsed.text == "Yo."
    for text in ("### Human resources\nPlease help.", "Human: is this one?", "Say ### Human: a ### Assistant: b"):
        assert read_row(row({"text": text})).messages() == [Message(role="user", content=text)]


def test_turns_that_can_not_be_read_are_refused() -> None:
    for turns in ("[{'role': 'user'\n {'x", "hello", 7, {"a": 1}):
        with pytest.raises(UserError, match="field 'messages"):
            to_prompt(row({"messages": turns}), None)


def test_a_call_as_the_answer_is_said_to_be_no_reference() -> None:
    called = {"role": "assistant", "content": None, "tool_calls": [CALL]}
    loaded = to_prompt(row({"messages": [*TURNS, called]}), None)
    assert loaded.prompt is not None and loaded.prompt.reference is None
    assert loaded.left_out == ("tool calls of the answer",)
