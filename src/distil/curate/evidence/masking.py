"""Masking: placeholders such as <EMAIL_1> for secrets or personal data, the same one wherever a value is in a row.

It comes before everything is measured, chosen and written, so that no file of the stage holds what was masked. Fields that a row
carries along (reference, columns, group) are masked too. Ids stay: they are those of the collected prompt and answer.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple

from distil.curate.evidence.corpus import Pair
from distil.curate.evidence.personal import find_personal
from distil.curate.evidence.secrets import texts_of
from distil.ids import content_id
from distil.records import Answer, Message, Prompt
from distil.runs.schemas.marks import Mark
from distil.secrets import Found, find_secrets, without_overlap

Maskable = Literal["secrets", "personal_data"]
Calls = list[dict[str, object]]
_FINDERS: dict[Maskable, Callable[[str], list[Found]]] = {"secrets": find_secrets, "personal_data": find_personal}


def mask_all(
    pairs: Sequence[Pair], marks: Mapping[str, Mark], what: Sequence[Maskable]
) -> tuple[list[Masked], dict[str, Mark]]:
    """All pairs masked, and a person's marks with the placeholders of their rows in what the person wrote."""
    rows, known = [], dict(marks)
    for pair in pairs:
        mark = known.get(pair.answer.id)
        row = mask(pair, what, [mark.text or "", mark.reason] if mark is not None else ())
        rows.append(row)
        if mark is not None and row.counts:
            text, reason = row.written
            known[pair.answer.id] = mark.model_copy(update={"text": text or None, "reason": reason})
    return rows, known


class Masked(NamedTuple):
    """A pair with its placeholders."""

    pair: Pair
    """As it may be written and trained on."""
    counts: dict[str, int]
    """How many different values were masked, by the word of their placeholder; {} = nothing."""
    written: tuple[str, ...] = ()
    """The further texts of the row, masked."""


def mask(pair: Pair, what: Sequence[Maskable], written: Sequence[str] = ()) -> Masked:
    """The pair without secrets or personal data, or itself where it has none. written: further texts about it, masked alike."""
    if not what:
        return Masked(pair, {}, tuple(written))
    prompt, answer = pair
    texts = [text for _, text in texts_of(prompt, answer)]
    texts += [prompt.reference or "", *prompt.fields.values(), prompt.group or "", *written]
    placeholders = _placeholders(texts, what)
    if not placeholders:
        return Masked(pair, {}, tuple(written))
    pattern = re.compile("|".join(map(_anywhere, sorted(placeholders, key=len, reverse=True))), re.IGNORECASE)
    known = {_plain(value): placeholder for value, placeholder in placeholders.items()}

    def masked(text: str) -> str:
        return pattern.sub(lambda match: known.get(_plain(match[0]), "<MASKED_1>"), text)

    counts = Counter(name.strip("<>").rpartition("_")[0] for name in set(placeholders.values()))
    own = Pair(_prompt(prompt, masked), _answer(answer, masked))
    return Masked(own, dict(sorted(counts.items())), tuple(map(masked, written)))


def _placeholders(texts: Sequence[str], what: Sequence[Maskable]) -> dict[str, str]:
    """Value -> placeholder, numbered in the order of the row; different spellings of one value share theirs."""
    known: dict[tuple[str, str], str] = {}
    found: dict[str, str] = {}
    numbers: Counter[str] = Counter()
    for text in texts:
        spans = without_overlap([span for kind in what for span in _FINDERS[kind](text)]) if text else []
        for span in spans:
            value = text[span.start : span.end]
            key = (span.label, _canonical(span.label, value))
            if key not in known:
                numbers[span.label] += 1
                known[key] = f"<{span.label}_{numbers[span.label]}>"
            found.setdefault(value, known[key])
    return found


def _canonical(label: str, value: str) -> str:
    if label in ("PHONE", "CARD", "SSN"):
        return "".join(filter(str.isdigit, value))
    return re.sub(r"[\s-]", "", value).upper() if label == "IBAN" else value.lower() if label == "EMAIL" else value


def _anywhere(value: str) -> str:
    """The pattern of a value where it is whole, not inside of a longer word: a number however it is spaced, words in any case."""
    if _is_number(value):
        return r"(?<!\d)\+?\(?" + r"[ ()./-]{0,3}".join(filter(str.isdigit, value)) + r"(?!\d)"
    before = "(?<![^\\W_])" if value[0].isalnum() else ""
    return before + re.escape(value) + ("(?![^\\W_])" if value[-1].isalnum() else "")


def _plain(value: str) -> str:
    return "".join(filter(str.isdigit, value)) if _is_number(value) else value.casefold()


def _is_number(value: str) -> bool:
    """A phone, card or social security number; an IP address has its dots."""
    return re.fullmatch(r"\+?[\d ()/-]{8,}|\+?\d{3}\.\d{3}\.\d{4}", value) is not None


def _prompt(prompt: Prompt, masked: Callable[[str], str]) -> Prompt:
    group = prompt.group
    if group is not None and masked(group) != group:
        group = content_id("group", group)  # still one group for each customer, whose address it was
    return prompt.model_copy(
        update={
            "messages": [_message(turn, masked) for turn in prompt.messages],
            "reference": None if prompt.reference is None else masked(prompt.reference),
            "group": group,
            "fields": {name: masked(value) for name, value in prompt.fields.items()},
        }
    )


def _message(turn: Message, masked: Callable[[str], str]) -> Message:
    content = turn.content
    if isinstance(content, str):
        content = masked(content)
    elif content is not None:
        content = [
            part | {"text": masked(part["text"])} if isinstance(part.get("text"), str) else part for part in content
        ]
    return turn.model_copy(
        update={
            "content": content,
            "tool_calls": _calls(turn.tool_calls, masked),
            "reasoning_content": None if turn.reasoning_content is None else masked(turn.reasoning_content),
        }
    )


def _answer(answer: Answer, masked: Callable[[str], str]) -> Answer:
    return answer.model_copy(
        update={
            "text": masked(answer.text),
            "reasoning": None if answer.reasoning is None else masked(answer.reasoning),
            "tool_calls": _calls(answer.tool_calls, masked),
        }
    )


def _calls(calls: Sequence[Mapping[str, object]] | None, masked: Callable[[str], str]) -> Calls | None:
    return None if calls is None else [dict(_call(call, masked)) for call in calls]


def _call(call: Mapping[str, object], masked: Callable[[str], str]) -> Mapping[str, object]:
    inner = call.get("function")
    if isinstance(inner, Mapping):
        return {**call, "function": dict(_call(inner, masked))}
    given = call.get("arguments")
    if isinstance(given, str):
        return {**call, "arguments": masked(given)}
    return call if given is None else {**call, "arguments": json.loads(masked(json.dumps(given, ensure_ascii=False)))}
