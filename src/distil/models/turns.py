"""Messages as a chat template takes them, so that nothing vanishes: what a template can't show is refused by name.

What has a plain equivalent is changed, and said once: a developer turn becomes a system turn, a system turn without a place goes
into the first user turn. Training and asking use the same functions, so both change it alike.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence

from distil.errors import UserError
from distil.models.chat_template import CallShape, ChatTemplate
from distil.models.student_prompt import replaced
from distil.models.template import Turn
from distil.progress import say
from distil.records import Message

Chat = Sequence[Message | Turn]
TEXT_PARTS = frozenset({"text", "input_text", "output_text"})
_SWITCHES = re.compile(r"/(no_)?think\b")
_said: set[str] = set()


def as_turns(template: ChatTemplate, messages: Chat, tools: Sequence[Turn] | None) -> tuple[list[Turn], list[int]]:
    """(turns for the template, the weight of each). Raises UserError for what it can't show: images, tools, calls."""
    if tools and not template.shows_definitions:
        raise UserError(_no_tools("the definitions of its tools"))
    turns, weights = [], []
    wire = [message.to_wire() if isinstance(message, Message) else dict(message) for message in messages]
    # the template replaces a baked prompt itself: twice is the same as once
    seen = replaced(
        wire, template.prompt, lambda turn: str(turn["role"]), lambda text: {"role": "system", "content": text}
    )
    for number, turn in enumerate(seen, start=1):
        weight = turn.pop("weight", None)
        weights.append(1 if weight is None else int(weight))
        turn["content"] = _text(turn.get("content"), number)
        if turn.get("tool_calls"):
            _set_calls(template, turn)
        else:
            turn.pop("tool_calls", None)
            turn["content"] = turn["content"] or ""
        if turn.get("reasoning_content"):
            turn["thinking"] = turn["reasoning_content"]  # the name that gpt-oss's template knows it by
        if turn.get("tool_call_id") and template.short_ids:
            turn["tool_call_id"] = _short_id(str(turn["tool_call_id"]))
        turns.append(turn)
    return _with_roles(template, turns, weights)


def require_shown(template: ChatTemplate, asked: str, turns: Sequence[Turn]) -> None:
    """Raises UserError when the text of a turn is not in the prompt: the template has dropped it."""
    shown = squeezed(asked)
    for number, turn in enumerate(turns, start=1):
        role, calls = turn["role"], turn.get("tool_calls") or []
        text = str(turn.get("content") or "")
        if role == "assistant":
            text = "" if calls else text.rpartition("</think>")[2]
        spelled = [text, *(json.dumps(text, ensure_ascii=ascii_only)[1:-1] for ascii_only in (False, True))]
        if not any(squeezed(form) in shown for form in spelled):
            raise UserError(
                f"The chat template drops turn {number} of the conversation ({role}: {short(text)}). The student would be "
                "trained and asked without it. Leave it out, put it into a user turn, or set student.chat_template to one "
                "that shows it."
            )
        require_calls_shown(template, asked, calls)


def require_calls_shown(template: ChatTemplate, shown: str, calls: Iterable[Turn]) -> None:
    """Raises UserError when the name or an argument of a call is not in the text: it would not be learned."""
    flat = squeezed(shown)
    for call in calls:
        function = call["function"]
        arguments = function.get("arguments")
        if isinstance(arguments, str):
            arguments = _object(arguments)
        leaves = _leaves(arguments)
        if template.call_shape is not None or not leaves:
            leaves.insert(0, str(function["name"]))
        missing = next((leaf for leaf in leaves if not _is_in(leaf, flat)), None)
        if missing is not None:
            if template.call_shape is None:
                raise UserError(_no_tools("tool calls"))
            raise UserError(
                f"The chat template drops a part of the tool call {function['name']}: {short(missing)} is not shown (some "
                "templates show one call a turn). The student would learn another call than the teacher's. Leave the example "
                "out, or set student.chat_template to one that shows all calls."
            )


def squeezed(text: str) -> str:
    """Without blanks and line breaks, which templates trim, and without the switches for thinking, which some take out."""
    return "".join(_SWITCHES.sub("", text).split())


def short(text: str) -> str:
    """A text in quotes, at most 80 characters of it."""
    return repr(text if len(text) <= 80 else f"{text[:50]} ... {text[-25:]}")


def _text(content: object, number: int) -> str | None:
    """The text of a turn. Raises UserError for parts that are not text."""
    if content is None or isinstance(content, str):
        return content
    if not isinstance(content, list):
        return json.dumps(content, ensure_ascii=False)
    texts = []
    for part in content:
        if isinstance(part, str):
            texts.append(part)
            continue
        kind = str(part.get("type", "text"))
        if kind not in TEXT_PARTS:
            raise UserError(
                f"Turn {number} of the conversation holds a part of type {kind}, and a student learns from text alone. Leave the "
                "part out, or describe it in words."
            )
        texts.append(str(part.get("text") or ""))
    return "".join(texts)


def _set_calls(template: ChatTemplate, turn: Turn) -> None:
    shape = template.call_shape
    if shape is None and "tool_calls" not in template.text:
        raise UserError(_no_tools("tool calls"))
    shape = shape or CallShape(None, False, "")
    turn["tool_calls"] = [_call(template, shape, call) for call in turn["tool_calls"]]
    if not turn["content"]:
        turn["content"] = shape.content


def _call(template: ChatTemplate, shape: CallShape, call: Turn) -> Turn:
    """A call in OpenAI's shape as this template wants it."""
    function = dict(call.get("function") or {key: call[key] for key in ("name", "arguments") if key in call})
    arguments = function.get("arguments")
    parsed = _object(arguments) if isinstance(arguments, str) else arguments or {}
    function["arguments"] = json.dumps(parsed, ensure_ascii=False) if shape.arguments_as_text else parsed
    wanted: Turn = {"type": "function", **call, "function": function}
    if template.short_ids:
        wanted["id"] = _short_id(str(call.get("id") or json.dumps(function, sort_keys=True)))
    return wanted


def _object(arguments: str) -> object:
    """OpenAI sends a call's arguments as JSON text; templates expect the object. Text that is not JSON stays as it is."""
    try:
        return json.loads(arguments) if arguments.strip() else {}
    except json.JSONDecodeError:
        return arguments


def _short_id(identity: str) -> str:
    """Mistral's templates want nine letters and digits."""
    if len(identity) == 9 and identity.isalnum():
        return identity
    return hashlib.sha256(identity.encode()).hexdigest()[:9]


def _with_roles(template: ChatTemplate, turns: list[Turn], weights: list[int]) -> tuple[list[Turn], list[int]]:
    """Developer turns as system turns, and those into the first user turn, where the template has no place for them."""
    if not template.takes_developer and any(turn["role"] == "developer" for turn in turns):
        _say_once("The student's chat template has no developer role: developer texts are shown as system texts.")
        merged: list[Turn] = []
        kept: list[int] = []
        for turn, weight in zip(turns, weights, strict=True):
            if turn["role"] == "developer" and merged and merged[-1]["role"] == "system":
                merged[-1] = {**merged[-1], "content": f"{merged[-1]['content']}\n\n{turn['content']}"}
                continue
            merged.append({**turn, "role": "system"} if turn["role"] == "developer" else turn)
            kept.append(weight)
        turns, weights = merged, kept
    system = [turn for turn in turns if turn["role"] == "system"]
    if not system or template.takes_system:
        return turns, weights
    first = next((i for i, turn in enumerate(turns) if turn["role"] == "user"), None)
    if first is None:
        raise UserError(
            "The chat template has no system role, and there is no user turn that could hold the system text."
        )
    _say_once("The student's chat template has no system role: system texts are put in front of the first user turn.")
    text = "\n\n".join(str(turn["content"]) for turn in [*system, turns[first]])
    turns = [*turns[:first], {**turns[first], "content": text}, *turns[first + 1 :]]
    pairs = [(turn, weight) for turn, weight in zip(turns, weights, strict=True) if turn["role"] != "system"]
    return [turn for turn, _ in pairs], [weight for _, weight in pairs]


def _leaves(value: object) -> list[str]:
    """Texts and numbers in a call's arguments."""
    if isinstance(value, dict):
        return [text for inner in value.values() for text in _leaves(inner)]
    if isinstance(value, list):
        return [text for inner in value for text in _leaves(inner)]
    return (
        [value] if isinstance(value, str) else [] if value is None or isinstance(value, bool) else [json.dumps(value)]
    )


def _is_in(leaf: str, flat: str) -> bool:
    forms = [leaf, *(json.dumps(leaf, ensure_ascii=ascii_only)[1:-1] for ascii_only in (False, True))]
    return any(squeezed(form) in flat for form in forms)


def _no_tools(what: str) -> str:
    return (
        f"This chat template has no tools: it drops {what}, so the student would learn an answer without it. Set "
        "student.chat_template to one that shows tools (a .jinja file, or chatml, llama-3, gemma or deepseek-r1, whichever is of "
        "the student's family), or leave conversations with tools out."
    )


def _say_once(line: str) -> None:
    if line not in _said:
        _said.add(line)
        say(line)
