"""Bodies that nobody should send: valid ones of which a value is replaced, removed or doubled. Same seed, same bodies."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

TOOL = {
    "type": "function",
    "function": {"name": "f", "description": "d", "parameters": {"type": "object", "properties": {}}},
}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "n", "strict": True, "schema": {"type": "object"}}}
PIXEL = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aa"}}

BODIES: dict[str, list[dict[str, Any]]] = {
    "/v1/chat/completions": [
        {
            "model": "student", "temperature": 0.0, "top_p": 0.9, "max_tokens": 4, "stop": ["x"], "seed": 1, "logprobs": True,
            "top_logprobs": 2, "n": 1, "user": "u", "metadata": {"a": "b"}, "stream": False, "reasoning_effort": "low",
            "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "p=0.9 hi"}],
        },
        {
            "model": "student", "max_completion_tokens": 4, "tools": [TOOL], "tool_choice": "auto", "parallel_tool_calls": False,
            "stream": True, "stream_options": {"include_usage": True},
            "messages": [
                {"role": "developer", "content": [{"type": "text", "text": "d"}]},
                {"role": "user", "content": [{"type": "text", "text": "p=0.2 hi"}, PIXEL], "name": "me"},
                {"role": "assistant", "content": None, "tool_calls": [CALL], "refusal": None, "annotations": []},
                {"role": "tool", "content": "r", "tool_call_id": "c1"},
            ],
        },
        {
            "model": "student", "max_tokens": 4, "response_format": SCHEMA, "frequency_penalty": 0.0, "logit_bias": {"1": 2},
            "messages": [{"role": "user", "content": "p=0.5 hi"}],
        },
    ],
    "/v1/completions": [
        {
            "model": "student", "prompt": ["p=0.9 a", "p=0.2 b"], "max_tokens": 3, "temperature": 0, "logprobs": 1, "n": 1,
            "stop": "x", "echo": False, "suffix": None, "best_of": 1, "stream": False,
        },
    ],
    "/v1/messages": [
        {
            "model": "student", "max_tokens": 4, "system": [{"type": "text", "text": "s"}], "temperature": 0.0, "stream": True,
            "stop_sequences": ["x"], "metadata": {"user_id": "u"}, "thinking": {"type": "disabled"},
            "tools": [{"name": "f", "input_schema": {"type": "object"}}], "tool_choice": {"type": "tool", "name": "f"},
            "messages": [
                {"role": "user", "content": "p=0.9 hi"},
                {"role": "assistant", "content": [
                    {"type": "thinking", "thinking": "t", "signature": "s"},
                    {"type": "tool_use", "id": "t", "name": "f", "input": {}},
                ]},
                {"role": "user", "content": [
                    {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "r"}], "is_error": False},
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aa"}},
                ]},
            ],
            "output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}, "effort": "low"},
        },
    ],
    "/v1/messages/count_tokens": [
        {"model": "student", "messages": [{"role": "user", "content": "hi"}], "system": "s", "tools": None},
    ],
}  # fmt: skip


def _nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


VALUES: list[Any] = [
    None, True, False, 0, -1, 1, 0.5, -0.0, 1e308, -1e-320, 1e-45, 2**31, 2**63, 2**64, -(2**70), 10**400, "", " ", "x", "\ud800",
    "\udfff x", "\x00", "\u2028", "a" * 3000, "<|im_end|>", "{{ x }}", [], [None], [1, "a"], [[]], [{}], {}, {"a": 1},
    {"type": "text"}, {"\ud800": "\ud800"}, {"": None}, _nested(50), _nested(150), {"type": "object", "$ref": "#"},
    {"properties": {"a": {"$ref": "http://127.0.0.1:1/x"}}}, ["text"] * 100, "auto", "none",
]  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all values inside."""
    found = [path] if path else []
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, inner in inside:
        found += places(inner, (*path, step))
    return found


def bodies(count: int, seed: int = 0) -> list[tuple[str, bytes]]:
    """(path, body): one to three values of a valid body are replaced, removed or given a neighbor."""
    chance = random.Random(seed)
    made = []
    for _ in range(count):
        path = chance.choice(["/v1/chat/completions", *BODIES])
        body = copy.deepcopy(chance.choice(BODIES[path]))
        for _ in range(chance.choice([1, 1, 1, 2, 3])):
            _change(body, chance)
        raw = json.dumps(body).encode()
        if chance.random() < 0.05:
            raw = raw[: chance.randrange(len(raw))]
        made.append((path, raw))
    return made


def _change(body: dict[str, Any], chance: random.Random) -> None:
    steps = chance.choice(places(body))
    holder: Any = body
    for step in steps[:-1]:
        holder = holder[step]
    kind = chance.random()
    if kind < 0.75:
        holder[steps[-1]] = copy.deepcopy(chance.choice(VALUES))
    elif kind < 0.9:
        del holder[steps[-1]]
    elif isinstance(holder, dict):
        holder[chance.choice(["x", "type", "content", "name", "text", "\udcff"])] = copy.deepcopy(chance.choice(VALUES))
    else:
        holder.append(copy.deepcopy(chance.choice(VALUES)))
