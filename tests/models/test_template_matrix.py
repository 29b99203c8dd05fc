"""Template x case: the trained prompt is the asked prompt, exactly the answer and its end are learned, and calls come back.

On miniatures of the families (miniatures.py), on Distil's own templates, and on the published templates in the folder that
DISTIL_TEMPLATES names (`*.jinja`; skipped where it is not set).
"""

from __future__ import annotations

import json
import os
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from distil.errors import UserError
from distil.models import turns
from distil.models.answer import model_answer
from distil.models.chat_template import chat_template
from distil.models.generate import Generation
from distil.models.render import render_prompt, render_rows, row_messages, special_ids
from distil.models.template import TemplateSettings, own_templates, prepare, template_text
from distil.models.tool_format import call_format, read_answer
from distil.records import Message
from distil.thinking import opens_thinking, part
from tests.models.miniatures import CALLS, MINIATURES, Miniature
from tests.tiny import tiny_tokenizer

CONTROL = re.compile(
    r"<\|[A-Za-z_]+\|>|<SPECIAL_\d+>|<｜[^｜<>]+｜>|<\|(?:turn|tool_call|\")\|?>|<(?:turn|tool_call)\|>|<(?:start|end)_of_turn>|\[/?(?:INST|TOOL_[A-Z]+|AVAILABLE_TOOLS|ARGS)\]"
)
FOLDER = os.environ.get("DISTIL_TEMPLATES")
PUBLISHED = sorted(Path(FOLDER).glob("*.jinja")) if FOLDER else []
CALL = {
    "id": "call_12345",
    "type": "function",
    "function": {"name": "weather", "arguments": '{"city": "Rome", "days": 3}'},
}
SECOND = {"id": "call_2", "type": "function", "function": {"name": "clock", "arguments": '{"zone": "12", "on": true}'}}
NESTED = {
    "id": "call_31415",
    "type": "function",
    "function": {
        "name": "weather",
        "arguments": json.dumps(
            {"city": "{Rome}, [Bari]: 'a'", "days": -1, "at": {"n": [1, 2.5, None, "x"], "ok": False}, "e": []}
        ),
    },
}
OWN = {
    "chatml": Miniature("", "<|im_end|>", True, True),
    "deepseek-r1": Miniature("", "<｜end▁of▁sentence｜>", True, True),
    "gemma": Miniature("", "<end_of_turn>", True),
    "llama-3": Miniature("", "<|eot_id|>", True),
}


def tool(name: str, **kinds: str) -> dict[str, Any]:
    properties = {key: {"type": kind, "description": key} for key, kind in kinds.items()}
    parameters = {"type": "object", "properties": properties}
    return {"type": "function", "function": {"name": name, "description": "A tool.", "parameters": parameters}}


TOOLS = [tool("weather", city="string", days="integer"), tool("clock", zone="string", on="boolean")]


def said(role: Any, content: Any = None, **more: Any) -> Message:
    return Message(role=role, content=content, **more)


ANSWER = said("assistant", "the answer")
DROPS_THINKING = {"deepseek-r1", "deepseek-v3.1", "deepseek-v3.2", "llama-2"}
"""Templates without a place for thinking that don't show it in front of the answer either."""
CASES = {
    "plain": [said("user", "hi"), ANSWER],
    "system": [said("system", "Be kind."), said("user", "hi"), ANSWER],
    "developer": [said("developer", "Be kind."), said("user", "hi"), ANSWER],
    "system and developer": [said("system", "One."), said("developer", "Two."), said("user", "hi"), ANSWER],
    "several turns": [said("user", "hi"), said("assistant", "first"), said("user", "more"), ANSWER],
    "weight 0": [said("user", "hi"), said("assistant", "first", weight=0), said("user", "more"), ANSWER],
    "parts": [said("user", [{"type": "text", "text": "h"}, {"type": "text", "text": "i"}]), ANSWER],
    "blanks": [said("user", "hi"), said("assistant", "  the answer \n")],
    "strike-through": [said("user", "hi"), said("assistant", "Write <s>old</s> around it")],
    "line breaks": [said("user", "hi\n\n"), ANSWER],
    "tag first": [said("user", "hi"), said("assistant", "<b>the answer</b>")],
}
WITH_TOOLS = {
    "call": [said("user", "hi"), said("assistant", tool_calls=[CALL])],
    "trace": [
        said("user", "hi"),
        said("assistant", tool_calls=[CALL]),
        said("tool", "sun", tool_call_id="call_12345"),
        ANSWER,
    ],
}


@cache
def tokenizer_for(text: str, end: str) -> Any:
    tokenizer = tiny_tokenizer(template=text)
    end = (CONTROL.findall(end) or [end])[-1]
    controls = sorted({*CONTROL.findall(text), "<s>", "</s>", "<|im_end|>", end})
    tokenizer.add_special_tokens({"additional_special_tokens": controls, "bos_token": "<s>", "eos_token": end})
    tokenizer.model_max_length = 1 << 20
    return tokenizer


def prepared_tokenizer(text: str, end: str, **args: object) -> Any:
    tokenizer = tokenizer_for(text, end)
    tokenizer.chat_template = text
    prepare(tokenizer, TemplateSettings(args=args, date="2026-01-31"))
    return tokenizer


def all_templates() -> dict[str, Miniature]:
    own = {f"own-{name}": OWN[name]._replace(text=template_text(name)) for name in own_templates()}
    return MINIATURES | own


def learned_texts(tokenizer: Any, messages: list[Message], tools: Any = None, marks: bool = False) -> list[str]:
    """The learned text of every row; checks that its prompt is what is asked, and that it has one end, at its end.

    marks: the template writes control tokens before the answer's text, which are learned, too.
    """
    texts = []
    for row in render_rows(tokenizer, messages, tools=tools):
        ids, mask = row.rendered
        assert ids[: row.prompt_length] == render_prompt(tokenizer, messages[: max(row.answers)], tools=tools)
        last = ids[row.prompt_length : row.end]
        assert mask[row.prompt_length : row.end] == [True] * len(last)
        assert last[-1] in special_ids(tokenizer)
        if tools is None and not marks and not messages[-1].reasoning_content:
            assert not special_ids(tokenizer) & set(last[:-1]), "a control token in the middle of an answer"
        taught = [i for i, m in enumerate(row_messages(messages, row)) if m.role == "assistant" and m.weight != 0]
        assert tuple(taught) == row.answers
        texts.append(tokenizer.decode([i for i, learned in zip(ids, mask, strict=True) if learned]))
    return texts


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", all_templates())
def test_answer_and_end_are_located(name: str, case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "say", lambda line: None)
    template = all_templates()[name]
    tokenizer = prepared_tokenizer(template.text, template.end)
    messages = CASES[case]
    texts = learned_texts(tokenizer, messages, marks=name == "command-a")
    answers = [str(m.content) for m in messages if m.role == "assistant" and m.weight != 0]
    assert "".join("".join(texts).split()) == "".join("".join(a + template.end for a in answers).split())


@pytest.mark.parametrize("case", WITH_TOOLS)
@pytest.mark.parametrize("name", all_templates())
def test_tools_are_shown_or_refused_by_name(name: str, case: str) -> None:
    template = all_templates()[name]
    tokenizer = prepared_tokenizer(template.text, template.end)
    if not template.tools:
        with pytest.raises(UserError, match="This chat template has no tools"):
            render_rows(tokenizer, WITH_TOOLS[case], tools=TOOLS)
        return
    texts = "".join(learned_texts(tokenizer, WITH_TOOLS[case], tools=TOOLS))
    assert "weather" in texts and "Rome" in texts
    asked = tokenizer.decode(render_prompt(tokenizer, WITH_TOOLS[case][:1], tools=TOOLS))
    assert "weather" in asked and "clock" in asked


@pytest.mark.parametrize("name", [*(name for name, template in all_templates().items() if template.tools), *CALLS])
def test_calls_that_are_rendered_are_read_back(name: str) -> None:
    template = (all_templates() | CALLS)[name]
    tokenizer = prepared_tokenizer(template.text, template.end)
    assert call_format(tokenizer) is not None
    for calls in ([CALL], [NESTED], [CALL, SECOND]):
        try:
            row = render_rows(tokenizer, [said("user", "hi"), said("assistant", tool_calls=calls)], tools=TOOLS)[-1]
        except UserError as error:
            assert len(calls) == 2 and re.search("single tool-calls|one call a turn", str(error))
            continue
        read = read_answer(tokenizer, row.ids[row.prompt_length : row.end], TOOLS)
        found = [(c["function"]["name"], json.loads(c["function"]["arguments"])) for c in read.tool_calls]
        assert found == [(c["function"]["name"], json.loads(str(c["function"]["arguments"]))) for c in calls]  # type: ignore[index]
        assert part(read.text).text == ""
    plain = tokenizer("Rome has 3 hills.", add_special_tokens=False)["input_ids"]
    assert read_answer(tokenizer, plain, TOOLS) == ("Rome has 3 hills.", [])


@pytest.mark.parametrize("thinking", [None, True, False])
@pytest.mark.parametrize("name", all_templates())
def test_reasoning_is_learned_or_refused_by_name(name: str, thinking: bool | None) -> None:
    """However the student is asked later, an answer with thinking is learned in the prompt that asks for thinking, one without in
    the one that does not; both are read back as what they are."""
    template = all_templates()[name]
    settings = {} if thinking is None else {"enable_thinking": thinking}
    tokenizer = prepared_tokenizer(template.text, template.end, **settings)
    thought = [said("user", "hi"), said("assistant", "the answer", reasoning_content="Let me see")]
    plain = render_rows(tokenizer, [thought[0], ANSWER])[-1]
    assert plain.ids[: plain.prompt_length] == render_prompt(tokenizer, thought[:1], thinks=False)
    if name in DROPS_THINKING:
        with pytest.raises(UserError, match="drops the answer's reasoning"):
            render_rows(tokenizer, thought)
        return
    row = render_rows(tokenizer, thought)[-1]
    assert row.ids[: row.prompt_length] == render_prompt(tokenizer, thought[:1], thinks=True)
    for each, thinking_read in ((row, "Let me see"), (plain, None)):
        asked, answer = each.ids[: each.prompt_length], each.ids[each.prompt_length : each.end]
        assert tokenizer.decode(answer).endswith(template.end)
        said_so = Generation(tokenizer.decode(answer, skip_special_tokens=True), answer, [], [], "stop")
        read = model_answer(tokenizer, said_so, None, in_thinking=opens_thinking(tokenizer.decode(asked)))
        assert (read.text.strip(), read.reasoning) == ("the answer", thinking_read)


@pytest.mark.parametrize("name", sorted({*all_templates()} - DROPS_THINKING))
def test_thinking_that_is_cut_is_no_answer(name: str) -> None:
    template = all_templates()[name]
    tokenizer = prepared_tokenizer(template.text, template.end, enable_thinking=True)
    row = render_rows(tokenizer, [said("user", "hi"), said("assistant", "no", reasoning_content="Let me see")])[-1]
    answer = row.ids[row.prompt_length : row.end]
    whole = tokenizer.decode(answer)
    for length in range(1, len(answer)):
        if "see" in tokenizer.decode(answer[:length]):
            break
    cut = Generation(tokenizer.decode(answer[:length], skip_special_tokens=True), answer[:length], [], [], "length")
    asked = tokenizer.decode(row.ids[: row.prompt_length])
    read = model_answer(tokenizer, cut, None, in_thinking=opens_thinking(asked))
    assert (read.text, read.reasoning, read.finish_reason) == ("", "Let me see", "length"), whole


@pytest.mark.skipif(not PUBLISHED, reason="DISTIL_TEMPLATES names no folder with published templates (*.jinja)")
@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: path.stem)
def test_published_templates_are_located_or_refused_by_name(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "say", lambda line: None)
    text = path.read_text(encoding="utf-8")
    ends = (
        "<|return|>",
        "<|eot_id|>",
        "<|im_end|>",
        "<end_of_turn>",
        "<|end|>",
        "<｜end▁of▁sentence｜>",
        "<|end_of_text|>",
    )
    tokenizer = prepared_tokenizer(text, next((end for end in ends if end in text), "</s>"))
    form = call_format(tokenizer) if chat_template(tokenizer).call_shape else None
    for messages in [*CASES.values(), *WITH_TOOLS.values()]:
        tools = TOOLS if messages in WITH_TOOLS.values() else None
        try:
            texts = learned_texts(tokenizer, messages, tools, marks=True)
        except UserError as error:
            assert "\n" not in str(error).strip(), "an error is one paragraph"
            continue
        if messages[-1].content is not None:
            assert "".join(str(messages[-1].content).split()) in "".join(texts[-1].split())
        elif form is not None:
            row = render_rows(tokenizer, messages, tools=tools)[-1]
            assert read_answer(tokenizer, row.ids[row.prompt_length : row.end], TOOLS).tool_calls
