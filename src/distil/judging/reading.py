"""What a judge's reply says: the last verdict outside of its thinking, or that there is none. Ambiguous is unreadable.

Understands the JSON that is asked for and the shapes of well-known judge prompts: [[A]], [[C]] for a tie (MT-Bench), [[A>>B]]
(Arena-Hard), ranked models and Output (a) (AlpacaEval), `Final verdict: A`, a bare `**B**`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Literal, NamedTuple

from distil.calls.request import Reply
from distil.endings import ending
from distil.refusals.score import find_refusal
from distil.text import Json, json_values, one_line, parse_object
from distil.thinking import visible

Slot = Literal["A", "B", "tie"]
Gap = Literal["refused", "unreadable", "cut_off", "failed"]

REASON_CHARS = 300
READ_CHARS = 6000
"""Only the end of a long reply is searched: that is where a verdict is, and it bounds the time."""
_KEYS = re.compile(
    r"(?:final)?(?:better|best|winner|verdict|preferred|preference|choice|decision|judge?ment|answer|result|selected|selection"
    r"|chosen)|(?:better|best)(?:answer|response)"
)
_REASONS = ("reason", "explanation", "rationale", "reasoning", "analysis", "comment")
_NOUN = r"(?:answer|response|assistant|model|option|output|candidate|completion|chatbot)"
_SIDE = re.compile(rf"(?:the )?(?:{_NOUN}[ _-]*)?\(?(?P<side>[ab])\)?(?: is better| wins)?", re.IGNORECASE)
_TIE = re.compile(
    r"(?:a )?(?:tie|tied|draw|equal|equally good|same|both|neither|no preference)(?: ?\(.*\))?", re.IGNORECASE
)
_ORDER = re.compile(r"([ab])\s*([<>=]{1,3})\s*([ab])", re.IGNORECASE)
_BRACKETS = re.compile(
    r"\[\[\s*(A|B|C|tie|draw|[AB]\s*[<>=]{1,3}\s*[AB])\s*\]\](?![\"'*`]*\s*(?:if|for|when|means)\b)", re.I
)
_LISTED = re.compile(r"^\s*\d[.)].*\[\[.*\]\]\W*$", re.MULTILINE)  # a numbered legend, as Arena-Hard's prompt has
_EXAMPLE = re.compile(r"^\W*(?:example|for example)\b.*$", re.MULTILINE | re.IGNORECASE)
_MARKUP = r"[*_\"'`(\[{\s\\]*"
_BOXED = re.compile(r"\\boxed\{\s*(?:\\text\{)?\s*(A|B|C|tie)\s*\}", re.IGNORECASE)
# Capital letters only: in "the answer is a tie" the article is not meant. Not before "or", "/", "|": those list the choices.
_END = (
    r"(?=[*_\"'`)\]}]*\s*(?:$|[.;:!\n]|,(?!\s*(?:and |or )?[AB]\b)|(?:because|since|as|due|by|with)\b|is better|wins))"
)
_LABEL = re.compile(
    r"(?i:\b(?:verdict|decision|judge?ment|winner|preference|choice|conclusion|answer|better(?: answer| response| one)?"
    r"|best(?: answer| response)?)[*_\"'`]*\s*(?:is|:|=|->|–|—)+)"
    rf"{_MARKUP}(?i:(?:the )?{_NOUN}[ _]*)?{_MARKUP}(?P<slot>[AB]|(?i:(?:a )?(?:tie|draw)|equal)){_END}",
    re.MULTILINE,
)
_FIELD = re.compile(
    r"[\"'](?P<key>\w+)[\"']\s*:\s*[\"'](?P<value>[^\"'\n]{1,30})[\"'](?!\s*(?:\||/|or\b|,\s*[\"'](?:[AB]|tie)\b))"
)
_BARE = re.compile(
    rf"(?i:i(?: would)? (?:choose|prefer|pick) )?(?i:the )?(?i:{_NOUN}[ _]?)?(?P<side>\(?[AB]\)?|\([ab]\))"
    r"(?i: is (?:clearly |slightly |much |significantly )?(?:better|best|preferred|the winner|the better (?:answer|response|one))"
    rf"| wins)?(?i: than (?:{_NOUN} )?[AB])?"
)
_BARE_TIE = re.compile(
    r"(?:it'?s |it is |this is )?(?:a )?(?:tie|draw)|both (?:answers |responses )?are (?:equally good|equal|the same)|equal",
    re.IGNORECASE,
)
ALPACA_NAMES: Mapping[str, Slot] = {"m": "A", "M": "B"}
"""AlpacaEval calls the first output m and the second M."""


class Verdict(NamedTuple):
    """A judgment that was read."""

    slot: Slot
    """Which of the two shown answers is better."""
    reason: str
    """The judge's reason on one clean line; may be empty."""


def judgment(reply: Reply | None, mark: str | None = None) -> Verdict | Gap:
    """The verdict of a reply, or why there is none. mark: what fences the judged texts, to tell their echo from the verdict."""
    gap = gap_of(reply)
    if gap is not None or reply is None:
        return gap or "failed"
    found = read(reply.text, mark)
    return found if found is not None else refused_or_unreadable(reply.text)


def gap_of(reply: Reply | None) -> Gap | None:
    """Why a reply can't be read whatever it says; None where it can."""
    if reply is None:
        return "failed"
    end = ending(reply.finish_reason)
    if end == "refused":
        return "refused"
    # a cut-off text may have changed its mind; only a whole JSON object is surely finished
    return "cut_off" if end != "ok" and parse_object(reply.text) is None else None


def refused_or_unreadable(text: str) -> Gap:
    """The gap of a whole reply in which nothing was found."""
    return "refused" if find_refusal(visible(text)) else "unreadable"


def read(text: str, mark: str | None = None) -> Verdict | None:
    """The last verdict in the reply, or None when there is none or it is ambiguous."""
    whole = parse_object(text)
    if whole is not None:
        slot = _of_object(whole)
        return None if slot is None or slot == "ambiguous" else Verdict(slot, reason_of(whole))
    shown = spoken(text, mark)
    found = max(_candidates(shown), key=lambda one: one[0], default=None)
    if found is not None:
        _, slot, reason = found
        return None if slot is None else Verdict(slot, one_line(shown, REASON_CHARS) if reason is None else reason)
    bare = _bare(shown)
    return Verdict(bare, one_line(shown, REASON_CHARS)) if bare else None


def spoken(text: str, mark: str | None) -> str:
    """What the judge says itself: without its thinking, and without what it repeats of the fenced texts."""
    shown = visible(text)[-READ_CHARS:]
    if mark and mark in shown:
        shown = shown[shown.rindex(mark) + len(mark) :]
    return _EXAMPLE.sub("", shown)


def reason_of(value: Mapping[str, Json]) -> str:
    """The reason in a judge's JSON object, on one clean line."""
    lower = {key.lower(): item for key, item in value.items()}
    return next((one_line(str(lower[name]), REASON_CHARS) for name in _REASONS if lower.get(name)), "")


def _candidates(text: str) -> Iterator[tuple[int, Slot | None, str | None]]:
    """(where it ends, verdict or None where ambiguous, reason in its JSON) of everything that looks like a verdict."""
    covered = bytearray(len(text))
    for start, end, value in json_values(text):
        slot = _of_value(value)
        if slot is not None:
            covered[start:end] = b"\1" * (end - start)
            yield (
                end,
                None if slot == "ambiguous" else slot,
                reason_of(value) if isinstance(value, dict) else None,
            )
    legend = [match.span() for match in _LISTED.finditer(text)]
    if len(legend) >= 3:
        for start, end in legend:
            covered[start:end] = b"\1" * (end - start)
    for pattern in (_BRACKETS, _BOXED, _LABEL):
        for match in pattern.finditer(text):
            if not covered[match.start()]:
                yield match.end(), _slot(match[match.lastindex or 1], bracket=pattern is not _LABEL), None
    for match in _FIELD.finditer(text):
        if not covered[match.start()] and _KEYS.fullmatch(_plain(match["key"])):
            yield match.end(), _slot(match["value"]), None


def _of_value(value: Json) -> Slot | Literal["ambiguous"] | None:
    if isinstance(value, dict):
        return _of_object(value)
    return _of_ranks(value) if isinstance(value, list) else None


def _of_object(value: Mapping[str, Json]) -> Slot | Literal["ambiguous"] | None:
    """None = no verdict in it; ambiguous = two that differ, or one that names neither side."""
    found: set[Slot | None] = set()
    for key, item in value.items():
        if isinstance(item, (dict, list)):
            inner = _of_value(item)
            found |= {None if inner == "ambiguous" else inner} if inner else set()
        elif _KEYS.fullmatch(_plain(key)):
            found.add(_slot(item) if isinstance(item, str) else None)
    if not found:
        return None
    slot = found.pop()
    return "ambiguous" if found or slot is None else slot


def _of_ranks(value: list[Json]) -> Slot | Literal["ambiguous"] | None:
    """[{"model": "A", "rank": 2}, {"model": "B", "rank": 1}], as AlpacaEval asks for it."""
    ranks: dict[Slot, int | float] = {}
    for item in value:
        if not isinstance(item, dict) or not isinstance(item.get("model"), str):
            return None
        name, rank = str(item["model"]), item.get("rank")
        slot = ALPACA_NAMES.get(name) or _slot(name)
        if slot is None or slot == "tie" or isinstance(rank, bool) or not isinstance(rank, (int, float)):
            return None
        ranks[slot] = rank
    if len(ranks) != 2:
        return None
    return "tie" if ranks["A"] == ranks["B"] else "A" if ranks["A"] < ranks["B"] else "B"


def _slot(value: str, *, bracket: bool = False) -> Slot | None:
    """The verdict that a short value is; None where it names neither."""
    plain = " ".join(value.strip(" \t\n*_\"'`[].!").split())
    if _TIE.fullmatch(plain) or (bracket and plain in ("C", "c")):
        return "tie"
    order = _ORDER.fullmatch(plain)
    if order:
        left, sign, right = order[1].upper(), order[2], order[3].upper()
        if left == right or len(set(sign)) > 1:
            return None
        return "tie" if sign[0] == "=" else "A" if (left == "A") == (sign[0] == ">") else "B"
    side = _SIDE.fullmatch(plain)
    return None if side is None else "A" if side["side"] in "aA" else "B"


def _plain(key: str) -> str:
    return re.sub(r"[^a-z]", "", key.lower())


def _bare(text: str) -> Slot | None:
    """A verdict that is a whole line: the last one, or the first one where no other line is the name of an answer."""
    if text.strip() in ALPACA_NAMES:
        return ALPACA_NAMES[text.strip()]
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        return None
    slots = [_line(line) for line in lines]
    if slots[-1] is not None:
        return slots[-1]
    return slots[0] if len({slot for slot in slots if slot is not None}) == 1 else None


def _line(line: str) -> Slot | None:
    plain = " ".join(line.strip(" \t#>*_\"'`[].!-").split())
    if _BARE_TIE.fullmatch(plain):
        return "tie"
    side = _BARE.fullmatch(plain)
    if side is None:
        return None
    return "A" if side["side"].strip("()") in "Aa" else "B"
