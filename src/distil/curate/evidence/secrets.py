"""Signals `secrets` and `personal_data`: what a model must not learn, in any turn of the question and in the answer.

Details name what was found and where, never the value itself, because evidence.jsonl and dropped.jsonl are read and shared.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

from distil.curate.evidence.corpus import Corpus
from distil.curate.evidence.found import Found, Signals
from distil.curate.evidence.personal import find_personal
from distil.records import Answer, Prompt
from distil.secrets import Found as Span
from distil.secrets import find_secrets

_PIECE = 8
_WITHHELD = "not shown, because it quotes a secret"


def secrets(prompt: Prompt, answer: Answer, corpus: Corpus) -> Found | None:
    """Keys, tokens and passwords."""
    return _counted(prompt, answer, find_secrets)


def personal_data(prompt: Prompt, answer: Answer, corpus: Corpus) -> Found | None:
    """E-mail addresses, phone and social security numbers, IP addresses, cards (Luhn), accounts (IBAN, modulo 97)."""
    return _counted(prompt, answer, find_personal)


def texts_of(prompt: Prompt, answer: Answer) -> Iterator[tuple[str, str]]:
    """(where, text) of everything that a student would read or learn: turns, their tool calls, thinking, the answer's."""
    for turn in prompt.messages:
        yield "prompt", turn.text
        if turn.reasoning_content:
            yield "prompt", turn.reasoning_content
        if turn.tool_calls:
            yield from (("prompt", text) for text in _arguments(turn.tool_calls))
    yield "answer", answer.text
    if answer.reasoning:
        yield "answer", answer.reasoning
    if answer.tool_calls:
        yield from (("arguments of a tool call", text) for text in _arguments(answer.tool_calls))


def without_quotes(signals: Signals, prompt: Prompt, answer: Answer) -> Signals:
    """The signals of a row that has secrets, without the details that quote a part of one."""
    values = [text[span.start : span.end] for _, text in texts_of(prompt, answer) for span in find_secrets(text)]
    pieces = {value[at : at + _PIECE] for value in values for at in range(max(1, len(value) - _PIECE + 1))}
    return {
        name: found._replace(detail=_WITHHELD) if any(piece in (found.detail or "") for piece in pieces) else found
        for name, found in signals.items()
    }


def _counted(prompt: Prompt, answer: Answer, find: Callable[[str], list[Span]]) -> Found | None:
    spans = [(span.kind, where) for where, text in texts_of(prompt, answer) for span in find(text)]
    if not spans:
        return None
    counts = Counter(spans)
    named = ", ".join(
        f"{kind} in the {where}" + (f" ({n} times)" if n > 1 else "") for (kind, where), n in counts.items()
    )
    return Found(counts.total(), named)


def _arguments(calls: Sequence[Mapping[str, object]] | None) -> Iterator[str]:
    for call in calls or ():
        inner = call.get("function", call)
        given = inner.get("arguments") if isinstance(inner, Mapping) else None
        if given is not None:
            yield given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)
