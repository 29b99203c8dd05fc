"""A reply without the thinking that some models write into it: closed, unclosed, or closed without having been opened."""

from __future__ import annotations

import re

_NAMES = r"(?:think|thinking|thoughts?|reasoning|reflection|analysis|scratchpad|seed:think)"
_OPEN = rf"(?:<{_NAMES}>|\[THINK\]|◁think▷|<\|begin_of_thought\|>|<\|START_THINKING\|>)"
_CLOSE = rf"(?:</{_NAMES}>|\[/THINK\]|◁/think▷|<\|end_of_thought\|>|<\|END_THINKING\|>)"
_END = re.compile(_CLOSE, re.IGNORECASE)
_CLOSED = re.compile(rf"{_OPEN}.*?{_CLOSE}", re.DOTALL | re.IGNORECASE)
_CLOSING = re.compile(rf".*{_CLOSE}", re.DOTALL | re.IGNORECASE)
_OPENING = re.compile(rf"{_OPEN}.*", re.DOTALL | re.IGNORECASE)
_CHANNEL = "<|channel|>"
_FINAL = re.compile(r".*<\|channel\|>final[^<]*<\|message\|>", re.DOTALL)
_TOKEN = re.compile(r"<\|[a-z_]+\|>.*", re.DOTALL)
_BARE_ANALYSIS = re.compile(r"\Aanalysis(?=[A-Z])")  # the same channels where a server dropped the special tokens
_BARE_FINAL = "assistantfinal"


def visible(text: str) -> str:
    """What is left of a reply without its thinking; empty when it never got beyond it."""
    if _CHANNEL in text:
        final = _FINAL.match(text)
        return _TOKEN.sub("", text[final.end() :]).strip() if final else ""
    if _BARE_ANALYSIS.match(text):
        _, found, rest = text.rpartition(_BARE_FINAL)
        return rest.strip() if found else ""
    closed = max((match.end() for match in _END.finditer(text)), default=0)
    before = _CLOSING.sub("", _CLOSED.sub("", text[:closed]))  # a template may have opened it in the prompt
    return (before + _OPENING.sub("", text[closed:], count=1)).strip()
