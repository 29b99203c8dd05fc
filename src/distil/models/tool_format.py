"""The calls in a student's text, read back as OpenAI's tool_calls: the inverse of what its chat template writes.

The form is derived from the template itself: a probe call is rendered, and where its name and arguments stand says how to read
others. A form counts only when it reads the probe back. Five kinds (tool_forms.py) cover the families: a JSON object with the
name inside (Qwen and Hermes, Llama 3, Mistral, Granite, SmolLM) or as its only key (Apertus), a name before a JSON object
(DeepSeek, gpt-oss, newer Mistral, Functionary), a name with tagged arguments (Qwen3-Coder, Qwen3.5, Nemotron 3, GLM,
DeepSeek-V3.2), a name before an object whose keys are bare (Gemma 4), and Python's own calls (LFM2).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from distil.errors import UserError
from distil.ids import content_id
from distil.models.chat_template import (
    PROBE_ARGUMENTS,
    PROBE_ID,
    PROBE_NAME,
    PROBE_TOOL,
    USER,
    ChatTemplate,
    chat_template,
)
from distil.models.render import answer_text, special_tokens
from distil.models.template import Turn
from distil.models.tool_forms import (
    BareKeyCalls,
    CallFormat,
    JsonCalls,
    NamedJson,
    PythonCalls,
    TaggedCalls,
    json_values,
)
from distil.thinking import part

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SECOND_NAME = "distil_second"
SECOND_TOOL: Turn = {**PROBE_TOOL, "function": {**PROBE_TOOL["function"], "name": SECOND_NAME}}


class AnswerWithCalls(NamedTuple):
    """A student's answer in OpenAI's shape."""

    text: str
    """What stands before the calls."""
    tool_calls: list[Turn]
    """OpenAI's tool_calls, arguments as JSON text; empty where there are none."""


def call_format(tokenizer: PreTrainedTokenizerBase) -> CallFormat | None:
    """How this tokenizer's template writes calls; None where it has no tools, or writes them in a way that is not known."""
    return _derived(chat_template(tokenizer), special_tokens(tokenizer))[0]


def read_answer(tokenizer: PreTrainedTokenizerBase, token_ids: Sequence[int], tools: Sequence[Turn]) -> AnswerWithCalls:
    """The answer in these generated ids, its calls apart. Control tokens are kept while reading: some mark a call."""
    text = str(tokenizer.decode(list(token_ids), skip_special_tokens=False))
    return parse_calls(tokenizer, text, tools)


def parse_calls(tokenizer: PreTrainedTokenizerBase, text: str, tools: Sequence[Turn]) -> AnswerWithCalls:
    """The calls in a text that still has its control tokens; what can't be read as calls stays text."""
    form, section = _derived(chat_template(tokenizer), special_tokens(tokenizer))
    calls = form.calls(text, tools) if form is not None else []
    controls = special_tokens(tokenizer)
    if not calls:
        return AnswerWithCalls(_without(text, controls), [])
    wired = [
        {
            "id": content_id("call", [number, call.name, call.arguments]),
            "type": "function",
            "function": {"name": call.name, "arguments": json.dumps(call.arguments, ensure_ascii=False)},
        }
        for number, call in enumerate(calls)
    ]
    before = text[: calls[0].start].rstrip().removesuffix(section)
    return AnswerWithCalls(_without(before, controls).strip(), wired)


def without_controls(tokenizer: PreTrainedTokenizerBase, text: str) -> str:
    """A text without the tokenizer's control tokens."""
    return _without(text, special_tokens(tokenizer))


def _without(text: str, controls: Sequence[str]) -> str:
    for control in controls:
        text = text.replace(control, "")
    return text


@lru_cache(maxsize=64)
def _derived(template: ChatTemplate, controls: tuple[str, ...]) -> tuple[CallFormat | None, str]:
    """The form of a template's calls, and what opens a section of several calls before the first one's own mark."""
    one = [(PROBE_NAME, PROBE_ARGUMENTS)]
    for tools in ([PROBE_TOOL], None):
        text = _probed(template, controls, [PROBE_NAME], tools)
        for form in _forms(text):
            if [call[:2] for call in form.calls(text, [PROBE_TOOL])] != one:
                continue
            two = _probed(template, controls, [PROBE_NAME, SECOND_NAME], tools)
            wanted = [*one, (SECOND_NAME, PROBE_ARGUMENTS)]
            for repeated, section in ((form, ""), *_in_sections(form, two)):
                if [call[:2] for call in repeated.calls(two, [PROBE_TOOL, SECOND_TOOL])] == wanted:
                    return repeated, section
            return form, ""
    return None, ""


def _probed(template: ChatTemplate, controls: Sequence[str], names: Sequence[str], tools: list[Turn] | None) -> str:
    """What the model has to write for calls of these names, without the end of the turn; "" where the template refuses."""
    shape = template.call_shape
    if shape is None:
        return ""
    arguments: object = json.dumps(PROBE_ARGUMENTS) if shape.arguments_as_text else dict(PROBE_ARGUMENTS)
    calls: list[Turn] = [
        {"id": PROBE_ID, "type": "function", "function": {"name": name, "arguments": arguments}} for name in names
    ]
    turn: Turn = {"role": "assistant", "content": shape.content, "tool_calls": calls}
    try:
        text = answer_text(template, [USER, turn], tools)
    except UserError:
        return ""
    for control in controls:
        text = text.rstrip().removesuffix(control)
    return text


def _in_sections(form: CallFormat, two: str) -> Iterator[tuple[CallFormat, str]]:
    """The form with the mark that each of several calls has, where the first call's mark also opens the section."""
    mark = getattr(form, "mark", "")
    second = two.find(SECOND_NAME)
    if isinstance(form, NamedJson) and form.opened and second >= 0:
        between = two[two.find(PROBE_NAME) : second]
        for _, end in json_values(between, between.find("{"), only_one=True):
            yield form._replace(mark=between[end:].strip()), ""
    elif isinstance(form, NamedJson | TaggedCalls) and second >= 0:
        each = _common_end(mark, two[:second].rstrip()).strip()
        if each and each != mark:
            yield form._replace(mark=each), part(mark.removesuffix(each)).text.strip()


def _forms(text: str) -> Iterator[CallFormat]:
    """The forms that the probe's text may be in."""
    at = text.find(PROBE_NAME)
    after = at + len(PROBE_NAME)
    for start in [m.start() for m in re.finditer(r"\{", text) if m.start() < at]:
        for value, end in json_values(text, start, only_one=True):
            name_at, arguments_at = _path(value, PROBE_NAME), _path(value, PROBE_ARGUMENTS)
            if end > after and ((name_at and arguments_at) or value == {PROBE_NAME: PROBE_ARGUMENTS}):
                mark = text[:start].rstrip().removesuffix("[").strip()
                yield JsonCalls(mark, name_at or (), arguments_at if name_at and arguments_at else ())
    mark = text[:at].strip()
    for start in [m.start() for m in re.finditer(r"\{", text) if m.start() >= after]:
        for value, _ in json_values(text, start, only_one=True):
            if value == PROBE_ARGUMENTS:
                yield NamedJson(mark, text[after:start], opened=not mark)
    if mark and (bare := re.match(r"\s*\{\s*\"?alpha\"?\s*:\s*(\S+?)amber\1", text[after:])):
        yield BareKeyCalls(mark, bare[1])
    if text[after : after + 1] == "(":
        yield PythonCalls(text[:at].strip().removesuffix("[").strip())
    key, amber, beta = text.find("alpha", after), text.find("amber", after), text.find("beta", after)
    if mark and after <= key < amber < beta:
        head, close = text[after:key], text[amber + 5 : beta]
        opening = _common_end(head, close).strip()
        value_close = close.strip().removesuffix(opening).strip()
        yield TaggedCalls(mark, opening, text[key + 5 : amber].strip(), value_close)


def _path(value: object, wanted: object) -> tuple[str, ...] | None:
    """The keys that lead to `wanted` in nested objects."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if inner == wanted:
                return (key,)
            if (rest := _path(inner, wanted)) is not None:
                return (key, *rest)
    return None


def _common_end(one: str, other: str) -> str:
    size = 0
    while size < min(len(one), len(other)) and one[-1 - size] == other[-1 - size]:
        size += 1
    return one[len(one) - size :]
