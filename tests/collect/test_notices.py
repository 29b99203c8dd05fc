"""The notices before the first dollar is spent."""

from __future__ import annotations

from pathlib import Path

import pytest

from distil.calls.config import TeacherConfig
from distil.collect.notices import notices, terms_of, terms_of_all
from distil.collect.questions import Question
from distil.errors import UserError
from distil.records import Message, Prompt, Sampling

PROMPT = Prompt.make([Message(role="user", content="hello")])


def lines(folder: Path, model: str, samples: int = 1, **sampling: object) -> list[str]:
    teacher = TeacherConfig(model=model, sampling=Sampling.model_validate(sampling))
    return list(notices(Question(0, PROMPT, teacher, 0), [teacher], samples, folder))


def test_unsupported_settings_are_named(tmp_path: Path) -> None:
    (line,) = lines(tmp_path, "anthropic/claude-haiku-4-5", seed=1, top_logprobs=3)
    assert "does not accept seed, top_logprobs: left out" in line
    assert lines(tmp_path, "openai/gpt-4o-mini", seed=1, top_logprobs=3) == []


def test_samples_at_temperature_zero_get_a_warning(tmp_path: Path) -> None:
    (line,) = lines(tmp_path, "openai/gpt-4o-mini", samples=3, temperature=0)
    assert "asked 3 times" in line and "each one costs money" in line
    assert lines(tmp_path, "openai/gpt-4o-mini", temperature=0) == []


def test_a_missing_local_folder_is_announced_as_a_hub_name(tmp_path: Path) -> None:
    (line,) = lines(tmp_path, "local/mine")
    assert f"no folder {tmp_path / 'mine'}" in line and "hub" in line
    (tmp_path / "mine").mkdir()
    assert lines(tmp_path, "local/mine") == []


def test_terms_appear_once_per_vendor_and_not_for_bundled() -> None:
    lines = terms_of_all(
        ["openai/gpt-4o-mini", "openai/gpt-5", "together/llama", "http://127.0.0.1:1/v1#m", "bundled/teacher"]
    )
    assert len(lines) == 2 and lines[0].startswith("OpenAI:") and "license" in lines[1]
    assert "copy read" in lines[0] and "copy read" not in lines[1], "the card of an unknown model was not read"
    assert "the model that gave them" in str(terms_of("recorded/x.jsonl")) and "license" in str(terms_of("local/Llama"))
    assert terms_of("bundled/teacher") is None and "https://" in str(terms_of("anthropic/claude-haiku-4-5"))
    with pytest.raises(UserError):
        terms_of("nobody/knows")


@pytest.mark.parametrize(
    ("model", "vendor"),
    [
        ("openai-responses/gpt-5-codex", "OpenAI:"),
        ("azure/my-deployment", "OpenAI:"),
        ("vertex/gemini-2.5-flash", "Google:"),
        ("bedrock/us.anthropic.claude-sonnet-4-5-20250929-v1:0", "Anthropic:"),
        ("openrouter/openai/gpt-4o", "OpenAI:"),
        ("openrouter/anthropic/claude-sonnet-4.5", "Anthropic:"),
        ("openrouter/openai/gpt-oss-120b", "Other vendors"),
        ("openrouter/google/gemma-3-27b-it", "Other vendors"),
        ("bedrock/us.amazon.nova-lite-v1:0", "Other vendors"),
        ("huggingface/openai/gpt-oss-20b", "Other vendors"),
    ],
)
def test_the_terms_are_those_of_the_models_maker(model: str, vendor: str) -> None:
    assert str(terms_of(model)).startswith(vendor)
