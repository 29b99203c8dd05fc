"""What OpenAI's `tool_choice` becomes at each provider."""

from __future__ import annotations

from typing import Any

import pytest

from distil.calls.config import TeacherConfig
from distil.calls.providers.catalog import open_keyless
from distil.errors import UserError
from tests.wire.ask import question

TOOLS = [{"type": "function", "function": {"name": "find", "parameters": {"type": "object", "properties": {}}}}]
FIND = {"type": "function", "function": {"name": "find"}}


def body(model: str, choice: Any, tools: Any = TOOLS) -> dict[str, Any]:
    opened = open_keyless(TeacherConfig(model=model))
    return opened.replicas[0].wire(question(model=model, tools=tools, tool_choice=choice)).body


@pytest.mark.parametrize(
    ("model", "field", "required", "named"),
    [
        ("openai/gpt-4o-mini", "tool_choice", "required", FIND),
        ("groq/llama", "tool_choice", "required", FIND),
        ("openai-responses/gpt-5", "tool_choice", "required", {"type": "function", "name": "find"}),
        ("anthropic/claude-haiku-4-5", "tool_choice", {"type": "any"}, {"type": "tool", "name": "find"}),
        (
            "google/gemini-2.5-flash",
            "toolConfig",
            {"functionCallingConfig": {"mode": "ANY"}},
            {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["find"]}},
        ),
    ],
)
def test_a_tool_choice_is_asked_for(model: str, field: str, required: Any, named: Any) -> None:
    assert body(model, "required")[field] == required and body(model, FIND)[field] == named
    assert field not in body(model, None) and field not in body(model, "required", tools=None)


def test_no_call_at_all_is_asked_for() -> None:
    assert body("openai/gpt-4o-mini", "none")["tool_choice"] == "none"
    assert body("anthropic/claude-haiku-4-5", "none")["tool_choice"] == {"type": "none"}
    assert body("google/gemini-2.5-flash", "none")["toolConfig"]["functionCallingConfig"] == {"mode": "NONE"}


def test_bedrock_has_no_tool_choice_none(monkeypatch: pytest.MonkeyPatch) -> None:
    from distil.calls.providers.bedrock_blocks import tool_choice

    assert tool_choice("required") == {"any": {}} and tool_choice(FIND) == {"tool": {"name": "find"}}
    with pytest.raises(UserError, match="no tool_choice `none`"):
        tool_choice("none")
