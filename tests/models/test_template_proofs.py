"""The proofs on a template hold where it is right and name what is wrong where it is not."""

from __future__ import annotations

from typing import Any

import pytest

from distil.models import template_proofs
from distil.models.template import TemplateSettings, prepare
from distil.models.template_proofs import prove_template
from distil.records import Message
from tests.models.miniatures import MINIATURES
from tests.tiny import CHATML_WITHOUT_MARKERS, tiny_tokenizer

CHAT = [Message(role="user", content="hi"), Message(role="assistant", content="the answer")]
TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}]


def failed(tokenizer: Any, tools: Any = None) -> list[str]:
    return [proof.name for proof in prove_template(tokenizer, [(CHAT, tools)]) if not proof.ok]


def test_a_right_template_passes_all_proofs() -> None:
    tokenizer = tiny_tokenizer(template=MINIATURES["qwen-3"].text)
    assert failed(tokenizer, TOOLS) == []
    assert prove_template(tokenizer, [(CHAT, None)])[1].detail == "each ends with <|im_end|>"


def test_a_date_that_is_not_pinned_is_found() -> None:
    tokenizer = tiny_tokenizer(template="{{ strftime_now('%Y') }}" + CHATML_WITHOUT_MARKERS)
    assert failed(tokenizer) == ["the template shows no other date tomorrow"]
    prepare(tokenizer, TemplateSettings(date="2026-01-31"))
    assert failed(tokenizer) == []


def test_tools_that_are_dropped_are_found() -> None:
    names = failed(tiny_tokenizer(template=CHATML_WITHOUT_MARKERS), TOOLS)
    assert names[-1] == "tools reach the prompt"


def test_another_asked_prompt_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = tiny_tokenizer(template=CHATML_WITHOUT_MARKERS)
    monkeypatch.setattr(template_proofs, "render_prompt", lambda *_, **__: [1, 2, 3])
    assert failed(tokenizer) == ["the trained prompt is the asked prompt"]


@pytest.mark.parametrize(
    ("before", "message"),
    [("all\\n", "begins the answer with 'all"), ("<think>\\n", "is read as ''"), ("</think>", None), ("\\n ", None)],
)
def test_an_answer_that_would_be_read_as_another_is_found(before: str, message: str | None) -> None:
    """Functionary writes a recipient before every answer; an opened thought swallows it; its end and blanks do no harm."""
    template = (
        "{%- for m in messages %}{{- '<|im_start|>' + m.role + '\\n' }}{%- if m.role == 'assistant' %}{{- '"
        + before
        + "' }}{%- endif %}{{- m.content + '<|im_end|>\\n' }}{%- endfor %}"
        "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"
    )
    proof = prove_template(tiny_tokenizer(template=template), [(CHAT, None)])[1]
    assert proof.ok is (message is None) and (message or "") in proof.detail
