"""Parts a model's thinking from its answer where both are in one text: closed, unclosed, or closed without an opening.

`part` is for texts that are kept: it knows the marks that models and their chat templates write (DeepSeek-R1, Qwen3 and QwQ,
Mistral's Magistral, Kimi, Seed, Cohere, Gemini's and Bedrock's chat endpoints, Nova, gpt-oss's channels), and leaves alone what
is quoted or in code. `visible` is for texts that are only read, such as a judge's: it also drops other tags. No dependencies.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_NAMES = r"(?:think|thinking|thoughts?|reasoning|reflection|analysis|scratchpad|seed:think)"
_BRACKETED = r"\[THINK\]|◁think▷|<\|begin_of_thought\|>|<\|START_THINKING\|>"
_BRACKETED_END = r"\[/THINK\]|◁/think▷|<\|end_of_thought\|>|<\|END_THINKING\|>"
_OPEN = rf"(?:<{_NAMES}>|{_BRACKETED})"
_CLOSE = rf"(?:</{_NAMES}>|{_BRACKETED_END})"
_END = re.compile(_CLOSE, re.IGNORECASE)
_CLOSED = re.compile(rf"{_OPEN}.*?{_CLOSE}", re.DOTALL | re.IGNORECASE)
_CLOSING = re.compile(rf".*{_CLOSE}", re.DOTALL | re.IGNORECASE)
_OPENING = re.compile(rf"{_OPEN}.*", re.DOTALL | re.IGNORECASE)

# Of what is kept, only tags that no answer has by itself; the other two are also formats that people ask for.
_TAGS = r"(?:think|thought|seed:think)"
_MARK = re.compile(rf"(?P<open><{_TAGS}>|{_BRACKETED})|(?P<close></{_TAGS}>|{_BRACKETED_END})")
_OPENING_MARK = re.compile(rf"<{_TAGS}>|{_BRACKETED}")
_CLOSING_MARK = re.compile(rf"</{_TAGS}>|{_BRACKETED_END}")
_AT_START = re.compile(rf"\s*(?:{_OPENING_MARK.pattern})")
_QUOTES = "'\"`“‘«"
_LEADING = re.compile(r"\s*<(?P<name>thinking|reasoning)>(?P<inside>.*?)</(?P=name)>\s*", re.DOTALL)
_STARTS = (
    "<think>", "<thinking>", "<thought>", "<reasoning>", "<seed:think>", "[THINK]", "◁think▷", "<|begin_of_thought|>",
    "<|START_THINKING|>", "<|channel|>",
)  # fmt: skip
_CLOSING_TEXTS = (
    "</think>", "</thought>", "</seed:think>", "[/THINK]", "◁/think▷", "<|end_of_thought|>", "<|END_THINKING|>",
)  # fmt: skip
_FIRST_OF_CLOSING = ("<", "[", "◁")
_CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`", re.DOTALL)

_CHANNEL = re.compile(
    r"<\|channel\|>(?P<name>\w+)[^<]*(?:<\|constrain\|>[^<]*)?<\|message\|>(?P<inside>.*?)"
    r"(?=<\|(?:end|return|call|start|channel)\|>|\Z)",
    re.DOTALL,
)
_BARE_ANALYSIS = re.compile(r"\Aanalysis(?=[A-Z])")  # the same channels where a server dropped the special tokens
_BARE_FINAL = "assistantfinal"


class Parted(NamedTuple):
    """A text in two."""

    text: str
    """What is meant for the reader; empty when the model never got beyond its thinking."""
    thinking: str | None
    """The thinking without its marks; None where there is none."""


def part(text: str, *, opened: bool = False) -> Parted:
    """The answer and its thinking. A text without thinking comes back as it is, blanks included.

    opened: the prompt ends inside of thinking, so that everything before a closing mark is thinking, and all of it without one.
    """
    if opened:
        return part(f"<think>{text}")
    channels = _channels(text)
    if channels is not None:
        return channels
    if _MARK.search(text) is None:
        return _leading(text)
    thinking, rest = list[str](), text
    while (opening := _AT_START.match(rest)) is not None:  # whatever stands inside, up to the first closing mark
        closing = _CLOSING_MARK.search(rest, opening.end())
        thinking.append(rest[opening.end() : closing.start() if closing else len(rest)])
        rest = rest[closing.end() :] if closing else ""
    kept, start = list[str](), 0
    begun: re.Match[str] | None = None
    for mark in _marks(rest):
        if mark["open"]:
            begun = begun or mark
            continue
        if begun is None:  # a chat template has begun it in the prompt: all that came so far was thinking
            thinking += [*kept, rest[start : mark.start()]]
            kept = []
        else:
            kept.append(rest[start : begun.start()])
            thinking.append(rest[begun.end() : mark.start()])
        begun, start = None, mark.end()
    if not thinking:
        return Parted(text, None)
    return Parted("".join([*kept, rest[start:]]).lstrip(), _joined(thinking))


def shown_so_far(text: str, *, opened: bool = False) -> str:
    """What of a text that is still growing may be shown: nothing while it may be thinking, or begin with a mark of it.

    opened: the prompt ends inside of thinking, so that everything before a closing mark is thinking.
    """
    if opened:
        return part(text, opened=True).text
    start = text.lstrip()
    if not start or any(mark.startswith(start) for mark in _STARTS):
        return ""
    if start.startswith(_STARTS):
        return part(text).text if _END.search(text) or "<|channel|>final" in text else ""
    return text


def thinking_so_far(text: str, *, opened: bool = False) -> str:
    """What of the thinking at the start of a growing text may be shown: each time the beginning of what `part` finds in the end.

    Nothing where only the end says what was thinking (gpt-oss's channels, tags that are also formats). opened: as above.
    """
    if opened:
        inside = text
    else:
        mark = _AT_START.match(text)
        if mark is None:
            return ""
        inside = text[mark.end() :]
    closing = _CLOSING_MARK.search(inside)
    if closing is not None:
        return inside[: closing.start()].strip()
    start = max(map(inside.rfind, _FIRST_OF_CLOSING))
    begun = start >= 0 and any(mark.startswith(inside[start:]) for mark in _CLOSING_TEXTS)
    return (inside[:start] if begun else inside).strip()


def opens_thinking(prompt: str) -> bool:
    """Whether a prompt, as the model reads it, ends inside of thinking."""
    opening = max((mark.end() for mark in _OPENING_MARK.finditer(prompt)), default=0)
    return opening > 0 and not prompt[opening:].strip()


def combine(*parts: str | None) -> str | None:
    """Thinking from several places (a field of its own, the text) as one; None where there is none."""
    return _joined([part for part in parts if part])


def visible(text: str) -> str:
    """What is left of a reply without its thinking; empty when it never got beyond it."""
    channels = _channels(text)
    if channels is not None:
        return channels.text
    closed = max((match.end() for match in _END.finditer(text)), default=0)
    before = _CLOSING.sub("", _CLOSED.sub("", text[:closed]))  # a template may have opened it in the prompt
    return (before + _OPENING.sub("", text[closed:], count=1)).strip()


def _marks(text: str) -> list[re.Match[str]]:
    """The opening and closing marks that are neither in code nor quoted: an answer may speak of them."""
    code = [match.span() for match in _CODE.finditer(text)]
    found = []
    for mark in _MARK.finditer(text):
        before, after = text[: mark.start()], text[mark.end() :]
        if before[-1:] in _QUOTES and before:
            continue
        if any(start <= mark.start() < end for start, end in code):
            # Thinking that breaks off inside of a code block: its end then stands alone on a line, without an opening.
            alone = before[-1:] in ("\n", "") and after[:1] in ("\n", "")
            if mark["open"] or not alone or _OPENING_MARK.search(before):
                continue
        found.append(mark)
    return found


def _leading(text: str) -> Parted:
    """<thinking> and <reasoning> are thinking at the very start; followed by another tag they are a format someone asked for."""
    found = _LEADING.match(text) if text.lstrip()[:1] == "<" else None
    if found is None or text[found.end() :].startswith("<"):
        return Parted(text, None)
    return Parted(text[found.end() :].strip(), _joined([found["inside"]]))


def _channels(text: str) -> Parted | None:
    """gpt-oss's channels, with their special tokens or without: the final one is the answer. None where there are none."""
    if "<|channel|>" in text:
        found = [(match["name"], match["inside"]) for match in _CHANNEL.finditer(text)]
        final = [inside for name, inside in found if name == "final"]
        return Parted(
            final[-1].strip() if final else "", _joined([inside for name, inside in found if name != "final"])
        )
    if _BARE_ANALYSIS.match(text):
        before, found_final, after = text.rpartition(_BARE_FINAL)
        thinking = (before if found_final else text).removeprefix("analysis")
        return Parted(after.strip() if found_final else "", _joined([thinking]))
    return None


def _joined(parts: list[str]) -> str | None:
    return "\n".join(inside for part in parts if (inside := part.strip())) or None
