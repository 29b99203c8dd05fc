"""What reaches a student's server: known parameters as they were read, and nothing else that a client wrote."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from distil.runs.artifacts import Project
from distil.serve.apis.checked import Defaults
from distil.serve.config import ServeConfig
from distil.serve.engines.forwarded import forwarded
from distil.serve.parse import parse_request
from distil.serve.stage import make_gateway
from tests.serve.running import StudentServer, chat_body
from tests.serve.test_gateway import exchange

OWN = (
    "repetition_penalty",
    "min_p",
    "top_k",
    "chat_template",
    "use_beam_search",
    "guided_json",
    "vllm_xargs",
    "cache_prompt",
)


def sent(**fields: object) -> dict[str, object]:
    raw = json.dumps(chat_body(**fields)).encode()
    return forwarded(parse_request(raw, defaults=Defaults("student", 0.0, 10)), "theirs")


def test_only_what_was_read_is_sent() -> None:
    history = [
        {"role": "assistant", "content": "a", "refusal": None, "annotations": [], "audio": None},
        {"role": "user", "content": "b"},
    ]
    told = sent(messages=history, user="u", metadata={"a": "b"}, store=True, top_p=0.5, seed=3, top_k=4, stream=True)
    assert told == {
        "model": "theirs", "temperature": 0.0, "max_tokens": 10,
        "messages": [{"role": "assistant", "content": "a"}, {"role": "user", "content": "b"}],
    }  # fmt: skip
    sampled = sent(temperature=0.5, top_p=0.5, seed=3, stop="x", logprobs=True, top_logprobs=2)
    assert {name: sampled[name] for name in ("top_p", "seed", "stop", "logprobs", "top_logprobs")} == {
        "top_p": 0.5, "seed": 3, "stop": ["x"], "logprobs": True, "top_logprobs": 2,
    }  # fmt: skip


def test_parts_of_text_arrive_as_one_text() -> None:
    parts = [{"type": "text", "text": "one "}, {"type": "text", "text": "two"}]
    assert sent(messages=[{"role": "user", "content": parts}])["messages"] == [{"role": "user", "content": "one two"}]


@pytest.mark.parametrize("stream", [False, True])
def test_without_a_teacher_others_are_refused_by_name(tmp_path: Path, stream: bool) -> None:
    with StudentServer() as student:
        section = ServeConfig(engine=f"{student.url}#student", fallback="off")
        gateway = make_gateway(Project(tmp_path), section, name="student")
        replies = exchange(gateway, *(chat_body(stream=stream, **{name: 1}) for name in OWN))
        assert not student.answered
    assert [(status, body["error"]["param"]) for status, _, body in replies] == [(400, name) for name in OWN]
