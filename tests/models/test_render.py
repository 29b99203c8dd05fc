"""Rendering: exactly the assistant's tokens are learned, its end token included, in any template; otherwise a loud error."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distil.errors import UserError
from distil.models.load import PLAIN_TEMPLATE
from distil.models.render import Rendered, render, render_prompt, render_rows, row_messages
from distil.records import Message
from tests.tiny import CHATML, CHATML_WITHOUT_MARKERS, tiny_tokenizer

DROPS_REASONING = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{{ m.content.split('</think>')[-1] if not loop.last else m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def chat(*turns: tuple[str, str]) -> list[Message]:
    return [Message(role=role, content=text) for role, text in turns]  # type: ignore[arg-type]


def learned(tokenizer: Any, rendered: Rendered) -> str:
    return str(tokenizer.decode([i for i, m in zip(rendered.input_ids, rendered.answer_mask, strict=True) if m]))


@pytest.mark.parametrize("template", [CHATML, CHATML_WITHOUT_MARKERS])
def test_only_answers_and_their_end_tokens_are_learned(template: str) -> None:
    tokenizer = tiny_tokenizer(template=template)
    messages = chat(("system", "Be kind."), ("user", "a"), ("assistant", "first"), ("user", "b"), ("assistant", "last"))
    rendered = render(tokenizer, messages)
    assert learned(tokenizer, rendered) == "first<|im_end|>last<|im_end|>"
    assert rendered.labels.count(-100) == rendered.answer_mask.count(False)


@pytest.mark.parametrize("template", [CHATML, CHATML_WITHOUT_MARKERS])
def test_a_turn_with_weight_zero_is_context_only(template: str) -> None:
    tokenizer = tiny_tokenizer(template=template)
    messages = chat(("user", "a"), ("assistant", "first"), ("user", "b"), ("assistant", "last"))
    messages[1] = messages[1].model_copy(update={"weight": 0})
    assert learned(tokenizer, render(tokenizer, messages)) == "last<|im_end|>"


@given(question=st.text(max_size=30), answer=st.text(min_size=1, max_size=30))
@settings(max_examples=60, deadline=None)
def test_markers_prefixes_and_the_rendered_prompt_agree(question: str, answer: str) -> None:
    messages = chat(("user", question), ("assistant", answer))
    marked, prefix = tiny_tokenizer(template=CHATML), tiny_tokenizer(template=CHATML_WITHOUT_MARKERS)
    rendered = render(marked, messages)
    assert rendered == render(prefix, messages)
    prompt = render_prompt(marked, messages[:-1])
    assert rendered.input_ids[: len(prompt)] == prompt
    assert not any(rendered.answer_mask[: len(prompt)]) and rendered.answer_mask[len(prompt)]


def test_the_plain_template_teaches_to_stop() -> None:
    tokenizer = tiny_tokenizer(template=PLAIN_TEMPLATE)
    rendered = render(tokenizer, chat(("user", "a"), ("assistant", "yes")))
    assert learned(tokenizer, rendered) == "yes<|im_end|>"


def test_a_template_without_any_end_token_gets_one_appended() -> None:
    tokenizer = tiny_tokenizer(
        template="{% for m in messages %}{{ m.role }}: {{ m.content }}{% if not loop.last %}\n{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}\nassistant: {% endif %}"
    )
    rendered = render(tokenizer, chat(("user", "a"), ("assistant", "yes")))
    assert learned(tokenizer, rendered) == "yes<|im_end|>"


def test_answers_that_are_shown_otherwise_later_have_own_rows() -> None:
    tokenizer = tiny_tokenizer(template=DROPS_REASONING)
    messages = chat(("user", "a"), ("assistant", "<think>x</think>one"), ("user", "b"), ("assistant", "two"))
    rows = render_rows(tokenizer, messages)
    assert [learned(tokenizer, row.rendered) for row in rows] == ["<think>x</think>one<|im_end|>", "two<|im_end|>"]
    for row, end in zip(rows, (1, 3), strict=True):
        assert row.ids[: row.prompt_length] == render_prompt(tokenizer, messages[:end])
        assert [m.weight for m in row_messages(messages, row) if m.role == "assistant"] == [0] * (end // 2) + [None]


def test_an_answer_that_cannot_be_located_is_a_loud_error() -> None:
    other_prompt = CHATML_WITHOUT_MARKERS.replace(
        "<|im_start|>assistant\n' }}{% endif %}", "Now answer: ' }}{% endif %}"
    )
    with pytest.raises(UserError, match="can't be located"):
        render(tiny_tokenizer(template=other_prompt), chat(("user", "a"), ("assistant", "b")))


@pytest.mark.parametrize("marked", [True, False])
def test_a_template_that_changes_the_answer_is_a_loud_error(marked: bool) -> None:
    def changing(how: str) -> Any:
        template = CHATML if marked else CHATML_WITHOUT_MARKERS
        return tiny_tokenizer(template=template.replace("(message['content'] or '')", f"(message['content'] | {how})"))

    trims = changing("trim")
    assert learned(trims, render(trims, chat(("user", "a"), ("assistant", " [1,  2]\n")))) == "[1,  2]<|im_end|>"
    with pytest.raises(UserError, match=r"changes the answer: it shows 'YES.*, and the answer is 'Yes'"):
        render(changing("upper"), chat(("user", "a"), ("assistant", "Yes")))


def test_a_conversation_must_end_with_an_answer_and_fit() -> None:
    tokenizer = tiny_tokenizer()
    with pytest.raises(UserError, match="must end with an assistant turn"):
        render(tokenizer, chat(("user", "a")))
    with pytest.raises(UserError, match="more than the 5 allowed"):
        render(tokenizer, chat(("user", "a"), ("assistant", "b")), max_length=5)


def test_a_template_that_refuses_a_role_says_so() -> None:
    tokenizer = tiny_tokenizer(template="{{ raise_exception('no system turns') }}")
    with pytest.raises(UserError, match="no system turns"):
        render_prompt(tokenizer, chat(("system", "a"), ("user", "b")))


def test_tool_calls_reach_the_template_as_objects() -> None:
    template = (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.tool_calls %}{{ m.tool_calls[0].function.arguments.city }}"
        "{% else %}{{ m.content }}{% endif %}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    tokenizer = tiny_tokenizer(template=template)
    call = {"id": "1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Rome"}'}}
    messages = [Message(role="user", content="weather?"), Message(role="assistant", tool_calls=[call])]
    assert learned(tokenizer, render(tokenizer, messages)) == "Rome<|im_end|>"
