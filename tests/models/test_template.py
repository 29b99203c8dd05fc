"""A prepared template: arguments and date in its text, the same bytes wherever it is rendered, clear errors."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from distil.errors import UserError
from distil.models import turns
from distil.models.chat_template import chat_template
from distil.models.config import StudentConfig
from distil.models.load import load_tokenizer
from distil.models.render import prompt_text, render, render_prompt, render_rows, special_ids
from distil.models.template import TemplateSettings, base_template, pinned_date, prepare, student_template
from distil.records import Message
from distil.runs.artifacts import Project
from tests.models.miniatures import MINIATURES
from tests.tiny import CHATML_WITHOUT_MARKERS, save_tiny, tiny_tokenizer

HI = [Message(role="user", content="hi")]
DATED = "{{ 'Today: ' + strftime_now('%d %b %Y') }}{% if strftime_now is not defined %}{{ 'never' }}{% endif %}"


def test_a_saved_folder_asks_with_the_same_bytes_anywhere(tmp_path: Path) -> None:
    template = "{% if style == 'short' %}{{ 'Be brief.' }}{% endif %}" + DATED + MINIATURES["qwen-3"].text
    folder = save_tiny(tmp_path / "base", template=template)
    settings = TemplateSettings(args={"style": "short"}, date="2026-01-31")
    trained = load_tokenizer(str(folder), settings)
    trained.save_pretrained(tmp_path / "model")
    shutil.copy(folder / "config.json", tmp_path / "model")
    asked = prompt_text(trained, HI)
    assert asked.startswith("Be brief.Today: 31 Jan 2026") and asked.endswith("<think>\n\n</think>\n\n")
    text = (tmp_path / "model" / "chat_template.jinja").read_text(encoding="utf-8")
    assert "strftime_now" not in text
    import jinja2.sandbox  # another engine: no date, other arguments, no Distil

    engine = jinja2.sandbox.ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    context = {"messages": [{"role": "user", "content": "hi"}], "add_generation_prompt": True, "enable_thinking": True}
    assert engine.from_string(text).render(**context, style="long") == asked
    again = load_tokenizer(str(tmp_path / "model"), TemplateSettings(date="2027-05-05"))
    assert prompt_text(again, HI) == asked and prompt_text(load_tokenizer(str(tmp_path / "model")), HI) == asked


def test_the_date_is_pinned_at_the_first_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """sglang #3296: trained on one day, resumed on the next (public-bugs 4)."""
    project = Project(tmp_path)
    first = student_template(StudentConfig(), project)
    tokenizer = tiny_tokenizer(template=DATED + CHATML_WITHOUT_MARKERS)
    prepare(tokenizer, first)
    ids = render_prompt(tokenizer, HI)

    import datetime as clock

    class Tomorrow(clock.date):
        @classmethod
        def today(cls) -> Any:
            return clock.date(2099, 1, 1)

    monkeypatch.setattr("distil.models.template.Date", Tomorrow)
    next_day = tiny_tokenizer(template=DATED + CHATML_WITHOUT_MARKERS)
    prepare(next_day, student_template(StudentConfig(), project))
    assert render_prompt(next_day, HI) == ids
    assert pinned_date(tmp_path / "other" / "date.txt") == "2099-01-01"
    project.template_date.write_text("yesterday")
    with pytest.raises(UserError, match="expected a date such as 2026-01-31"):
        student_template(StudentConfig(), project)


def test_settings_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    tokenizer = tiny_tokenizer()
    with pytest.raises(UserError, match="names tone, which the chat template does not use"):
        prepare(tokenizer, TemplateSettings(args={"tone": "kind"}))
    with pytest.raises(UserError, match=r"no such file.*Did you mean 'chatml'"):
        prepare(tokenizer, TemplateSettings("chatlm"))
    (tmp_path / "mine.jinja").write_text(CHATML_WITHOUT_MARKERS.replace("<|im_start|>", "<|im_start|>my "))
    settings = student_template(StudentConfig(chat_template="mine.jinja"), Project(tmp_path))
    prepare(tokenizer, settings)
    assert "my user" in prompt_text(tokenizer, HI)


def test_the_base_is_asked_by_the_template_it_was_made_with(tmp_path: Path) -> None:
    student = StudentConfig(chat_template="chatml", template_args={"enable_thinking": True})
    tokenizer = tiny_tokenizer(template="{% for m in messages %}{{ 'Q: ' + m.content }}{% endfor %}{{ ' A:' }}")
    prepare(tokenizer, base_template(student, Project(tmp_path)))
    assert prompt_text(tokenizer, HI) == "Q: hi A:"
    assert base_template(StudentConfig(), Project(tmp_path)) == student_template(StudentConfig(), Project(tmp_path))


def test_a_tokenizer_with_several_templates_uses_the_fitting_one() -> None:
    tokenizer = tiny_tokenizer()
    with_tools = MINIATURES["qwen-2.5"].text
    tokenizer.chat_template = {"default": CHATML_WITHOUT_MARKERS, "tool_use": "{{ 'With tools.' }}" + with_tools}
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
    assert not prompt_text(tokenizer, HI).startswith("With tools.")
    assert prompt_text(tokenizer, HI, tools=[tool]).startswith("With tools.")
    assert chat_template(tokenizer).call_shape is not None
    tokenizer.chat_template = {"only": CHATML_WITHOUT_MARKERS}
    assert prompt_text(tokenizer, HI) == "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"


@pytest.mark.parametrize("adds_start", [True, False])
def test_a_base_model_has_one_start_token_and_learns_its_end(tmp_path: Path, adds_start: bool) -> None:
    folder = save_tiny(tmp_path / "base", template="")
    tokenizer = tiny_tokenizer(template="")
    tokenizer.add_special_tokens({"bos_token": "<s>"})
    if adds_start:
        from tokenizers.processors import TemplateProcessing

        start = ("<s>", tokenizer.bos_token_id)
        tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[start])
    tokenizer.save_pretrained(folder)
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    loaded = load_tokenizer(str(folder), TemplateSettings())
    ids, mask = render(loaded, [*HI, Message(role="assistant", content="yes")])
    assert ids.count(loaded.bos_token_id) == (1 if adds_start else 0)
    assert [i for i, learned in zip(ids, mask, strict=True) if learned][-1] == loaded.eos_token_id


def test_a_prompt_that_ends_in_line_breaks_keeps_its_ids() -> None:
    tokenizer = tiny_tokenizer(template="{% for m in messages %}{{ m.content }}{{ '\n' }}{% endfor %}")
    ids = {text: tokenizer(text, add_special_tokens=False)["input_ids"] for text in ("\n", "\n\n")}
    assert len(ids["\n\n"]) == 2 * len(ids["\n"])
    for question in ("a\n", "a\n\n", "a\n\n\n"):
        messages = [Message(role="user", content=question), Message(role="assistant", content="\n\nyes")]
        row = render_rows(tokenizer, messages)[0]
        assert row.ids[: row.prompt_length] == render_prompt(tokenizer, messages[:1])


def test_control_tokens_in_an_answer_are_plain_text() -> None:
    tokenizer = tiny_tokenizer(template=CHATML_WITHOUT_MARKERS)
    answer = "Write <|im_end|> there, <|im_start|>so"
    ids, mask = render(tokenizer, [*HI, Message(role="assistant", content=answer)])
    learned = [i for i, chosen in zip(ids, mask, strict=True) if chosen]
    assert [i for i in learned if i in special_ids(tokenizer)] == [tokenizer.eos_token_id]
    assert tokenizer.decode(learned) == answer + "<|im_end|>"
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"a": "<|im_end|>"}'}}
    tokenizer.chat_template = MINIATURES["qwen-2.5"].text
    with pytest.raises(UserError, match="spells <\\|im_end\\|>, a control token"):
        render(tokenizer, [*HI, Message(role="assistant", tool_calls=[call])])


def test_what_is_moved_is_said_once(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """sglang #40082 (a developer turn disappears) and Gemma 2's system role (public-bugs 3 and the further shapes)."""
    monkeypatch.setattr(turns, "_said", set())
    tokenizer = tiny_tokenizer(template=MINIATURES["gemma-2"].text)
    tokenizer.add_special_tokens({"bos_token": "<s>"})
    messages = [Message(role="developer", content="Be kind."), *HI]
    for _ in range(2):
        assert "<start_of_turn>user\nBe kind.\n\nhi<end_of_turn>" in prompt_text(tokenizer, messages)
    said = capsys.readouterr().err
    assert said.count("no developer role") == 1 and said.count("no system role") == 1


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        (
            [Message(role="user", content=[{"type": "image_url", "image_url": {"url": "x"}}])],
            "a part of type image_url",
        ),
        ([*HI, Message(role="system", content="late")], "drops turn 2 of the conversation"),
        ([*HI, Message(role="assistant", content=""), Message(role="user", content="x")], None),
    ],
)
def test_what_cannot_be_shown_is_refused_by_name(messages: list[Message], words: str | None) -> None:
    first_only = "{% for m in messages %}{% if m.role != 'system' or loop.first %}{{ m.role + m.content }}{% endif %}{% endfor %}"
    tokenizer = tiny_tokenizer(template=first_only)
    if words is None:
        assert prompt_text(tokenizer, messages) == "userhiassistantuserx"
        return
    with pytest.raises(UserError, match=words):
        prompt_text(tokenizer, messages)


@pytest.mark.parametrize(
    "template",
    ["{{ messages[0].nothing.more }}", "{{ 1 + messages[0].content }}", "{{ messages[9].content }}", "{% bad %}"],
)
def test_whatever_a_template_raises_is_one_paragraph(template: str) -> None:
    with pytest.raises(UserError, match=r"chat template refuses this conversation \(turns: user\)") as caught:
        prompt_text(tiny_tokenizer(template=template), HI)
    assert "\n" not in str(caught.value)
