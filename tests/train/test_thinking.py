"""A student that thinks: each answer is a row in its own mode, and the mode that is asked is one that is taught."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from distil.errors import UserError
from distil.models.config import StudentConfig
from distil.models.render import render_prompt
from distil.models.template import TemplateSettings, base_template, prepare
from distil.records import Example, Message
from distil.runs.artifacts import Project
from distil.train.examples import require_taught_mode, tokenize
from tests.tiny import tiny_tokenizer


def example(number: int, thinking: str | None) -> Example:
    turns = [
        Message(role="user", content=f"What is {number}?"),
        Message(role="assistant", content=f"It is {number}.", reasoning_content=thinking),
    ]
    return Example(id=f"e{number}", prompt_id=f"p{number}", answer_id=None, messages=turns, split="train")


def asked(thinks: bool, prompt: str | None = None) -> Any:
    tokenizer = tiny_tokenizer()
    prepare(tokenizer, TemplateSettings(args={"enable_thinking": thinks}, prompt=prompt))
    return tokenizer


@pytest.mark.parametrize("thinks", [False, True])
@pytest.mark.parametrize("prompt", [None, ""])
def test_a_mix_is_learned_in_both_modes(thinks: bool, prompt: str | None) -> None:
    tokenizer = asked(thinks, prompt)
    rows, _ = tokenize(tokenizer, [example(1, "one"), example(2, None)], max_length=None, with_teacher=True)
    texts = [tokenizer.decode(row.input_ids[row.prompt_length :]).strip() for row in rows]
    assert [text.partition("<|im_end|>")[0] for text in texts] == ["one\n</think>\n\nIt is 1.", "It is 2."]
    for row, mode in zip(rows, (True, False), strict=True):
        ids = render_prompt(tokenizer, row.messages[:-1], thinks=mode)
        assert row.input_ids[: row.prompt_length] == ids
        assert tokenizer.decode(ids).endswith("<think>\n") == mode
    own = render_prompt(tokenizer, rows[0].messages[:-1])
    assert tokenizer.decode(own).endswith("<think>\n") == thinks


def test_the_mode_that_is_asked_is_one_that_is_taught() -> None:
    mixed = [example(n, "so" if n < 2 else None) for n in range(10)]
    for thinks in (False, True):
        require_taught_mode(asked(thinks), mixed)
    with pytest.raises(UserError, match="asked with thinking on, but only 0 of 8 answers have reasoning"):
        require_taught_mode(asked(True), mixed[2:])
    with pytest.raises(
        UserError,
        match=r"asked with thinking off\. 10 of 10 do\. Set student\.template_args: \{enable_thinking: true\}",
    ):
        require_taught_mode(asked(False), [example(n, "so") for n in range(10)])


def test_an_untuned_base_is_not_made_to_think(tmp_path: Path) -> None:
    """It never learned to end what an opened <think> begins."""
    tokenizer = tiny_tokenizer()
    student = StudentConfig(template_args={"enable_thinking": True})
    prepare(tokenizer, base_template(student, Project(tmp_path)))
    assert not tokenizer.decode(render_prompt(tokenizer, [Message(role="user", content="Hi")])).endswith("<think>\n")
