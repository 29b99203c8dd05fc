"""A baked prompt: the student sees a short text, or none, in place of the instructions, whoever renders its template."""

from __future__ import annotations

from typing import Any

import pytest

from distil.errors import UserError
from distil.models import turns
from distil.models.chat_template import chat_template
from distil.models.config import StudentConfig
from distil.models.render import render_prompt, render_rows
from distil.models.student_prompt import as_student_sees, baked_prompt, require_common_instructions, setting
from distil.models.template import TemplateSettings, prepare
from distil.records import Message
from tests.models.test_template_matrix import all_templates, said, tokenizer_for

LONG = "You sort messages. Rules: {{ many }} of them, in \"quotes\", #1 {% and %} '#}'.\nAnswer with one word."
SHORT = 'Sort "it" into {one} word #} {% x %}\nNow.'
CHATS = {
    "plain": [said("user", "hi")],
    "system": [said("system", LONG), said("user", "hi")],
    "developer": [said("developer", LONG), said("user", "hi")],
    "two": [said("system", LONG), said("developer", "Two."), said("user", "hi")],
    "several turns": [said("system", LONG), said("user", "hi"), said("assistant", "first"), said("user", "more")],
}


def baked(text: str, end: str, prompt: str | None) -> Any:
    tokenizer = tokenizer_for(text, end)
    tokenizer.chat_template = text
    prepare(tokenizer, TemplateSettings(date="2026-01-31", prompt=prompt))
    return tokenizer


@pytest.mark.parametrize("prompt", ["", SHORT])
@pytest.mark.parametrize("name", all_templates())
def test_the_student_is_asked_with_its_own_prompt(name: str, prompt: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "say", lambda line: None)
    template = all_templates()[name]
    plain = baked(template.text, template.end, None)
    if prompt and not chat_template(plain).takes_system:
        with pytest.raises(UserError, match="no place for a system turn"):
            baked(template.text, template.end, prompt)
        return
    short = {case: render_prompt(plain, as_student_sees(chat, prompt)) for case, chat in CHATS.items()}
    whole = {case: render_prompt(plain, chat) for case, chat in CHATS.items()}
    tokenizer = baked(template.text, template.end, prompt)
    for case, chat in CHATS.items():
        assert render_prompt(tokenizer, chat) == short[case], case
        assert render_prompt(tokenizer, chat, for_teacher=True) == whole[case], case
        row = render_rows(tokenizer, [*chat, said("assistant", "the answer")])[-1]
        assert row.ids[: row.prompt_length] == short[case]
        raw = [{"role": turn.role, "content": turn.content} for turn in chat]
        if not chat_template(tokenizer).wants_parts:  # as a server calls the saved template, without Distil
            asked = tokenizer.apply_chat_template(raw, tokenize=False, add_generation_prompt=True)
            assert list(tokenizer(asked, add_special_tokens=False)["input_ids"]) == short[case], case


def test_a_prompt_is_kept_replaced_and_read_back() -> None:
    template = all_templates()["qwen-3"]
    tokenizer = baked(template.text, template.end, SHORT)
    assert baked_prompt(tokenizer.chat_template) == SHORT
    prepare(tokenizer, TemplateSettings(prompt=None))
    assert baked_prompt(tokenizer.chat_template) == SHORT
    prepare(tokenizer, TemplateSettings(args={"enable_thinking": True}, prompt=""))
    assert baked_prompt(tokenizer.chat_template) == "" and chat_template(tokenizer).thinking
    assert tokenizer.chat_template.count("distil prompt") == 1


def test_the_setting_is_same_none_or_a_text() -> None:
    assert [setting(StudentConfig(prompt=text).prompt) for text in ("same", "none", "Sort it.")] == [
        None,
        "",
        "Sort it.",
    ]
    for nothing in (None, "", "  "):
        with pytest.raises(ValueError, match="for no prompt at all write `none`"):
            StudentConfig.model_validate({"prompt": nothing})


def test_instructions_that_hold_what_it_is_about_are_not_hidden() -> None:
    documents = [[said("system", f"The document is number {n}."), said("user", "What is in it?")] for n in range(9)]
    with pytest.raises(UserError, match=r"9 different ones.*number \d.*user turn, or set student.prompt: same"):
        require_common_instructions(documents)
    require_common_instructions([[Message(role="system", content=LONG), said("user", str(n))] for n in range(9)])
