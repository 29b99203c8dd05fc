"""What counts as the same text or the same answer: one definition for all stages. Refusals: distil/refusals.

Standard library only. Not a similarity: nearly the same text is measured in curate/similar.py and evaluate/similarity.py, and
JSON objects are compared field by field in fields.py.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal, NoReturn, Protocol, TypeVar

Calls = Sequence[Mapping[str, object]]
"""Tool calls in OpenAI's shape."""
Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]

_OPENING = re.compile(r"[{\[]")
_FENCE = re.compile(r"```[a-zA-Z]*[ \t\r]*\n")
_SUPERSCRIPT = re.compile("[\u2070\u00b9\u00b2\u00b3\u2074-\u2079]+")
_FRACTION = re.compile(r"(?<=\d)[¼-¾⅐-⅞]")
_PLAIN_MARKS = str.maketrans(
    dict.fromkeys("‘’‚‛ʼ′´", "'")
    | dict.fromkeys("“”„‟«»″", '"')
    | dict.fromkeys("‐‑‒–—―−﹣－", "-")
    | {"\u2044": "/"}
    | dict.fromkeys("\u200b\u2060\ufeff\u00ad", "")
)
_DRESSING = ("***", "**", "*", "_", "`", "'", '"')
_THOUSANDS = re.compile(r"[-+]?[$€£]?\d{1,3}(?:,\d{3})+(?:\.\d+)?%?")
_LABEL = re.compile(r"[^\W\d_][^\W_]*(?:[ _][^\W_]+){0,4}")
_MAX_DEPTH = 100
"""Nesting of a JSON answer; deeper than any program expects, and far from Python's own limit."""
_MAX_FAILED = 2_000


class Turn(Protocol):
    """What is needed of a message (distil.records.Message)."""

    @property
    def role(self) -> str:
        """system | developer | user | assistant | tool."""

    @property
    def text(self) -> str:
        """The text parts of the turn."""


T = TypeVar("T", bound=Turn)


def normalize(text: str) -> str:
    """A text as it is compared: compatibility characters, typographic quotes and dashes, case and blanks folded.

    Superscripts keep their meaning (2⁵ is 2^5, not 25), and invisible characters (zero-width blank, soft hyphen, byte order
    mark) are dropped. After NFKC and case folding as in Unicode's caseless matching (Unicode Standard 3.13, D146).
    """
    if text.isascii():
        return " ".join(text.lower().split())
    text = _SUPERSCRIPT.sub(lambda match: "^" + unicodedata.normalize("NFKC", match[0]), text)
    text = unicodedata.normalize("NFKC", _FRACTION.sub(r" \g<0>", text).translate(_PLAIN_MARKS))
    text = unicodedata.normalize("NFKC", text.casefold()).translate(_PLAIN_MARKS)
    return " ".join(text.split())


def normalize_answer(text: str) -> str:
    """A whole answer, or a string inside JSON, as it is compared: `normalize`, without what is only dressing.

    Dressing is one code fence, emphasis, quotes or backticks around the whole, and a full stop at the end. In an answer that is a
    label of up to five words an underscore is a blank (card_arrival is "Card arrival"), and in one that is a number the commas
    between thousands are dropped. Everything else counts: 5 is not -5, 1.0 is not 10, C is not C++, 60% is not 60.
    """
    text = normalize(strip_fence(text))
    before = None
    while text != before:  # every mark goes at most once, because the inside must not have it: a few rounds at most
        before = text
        text = _undressed(text)
    if _THOUSANDS.fullmatch(text):
        return text.replace(",", "")
    if "_" in text and _LABEL.fullmatch(text):
        return text.replace("_", " ")
    return text


def _undressed(text: str) -> str:
    if len(text) > 1 and text[-1] in ".。।" and text[-2] not in ". ":
        text = text[:-1]
    for mark in _DRESSING:
        inside = text[len(mark) : -len(mark)]
        if text.startswith(mark) and text.endswith(mark) and inside.strip() == inside != "" and mark[0] not in inside:
            return inside
    return text


def visible(text: str) -> str:
    """A text that can't move the cursor, retitle the window or reorder what is read: control characters as visible symbols.

    Line ends and tabs stay (CR LF becomes LF). Escape becomes ␛; C1 controls, bidirectional and other invisible marks become
    their code in angle brackets, such as ⟨U+202E⟩; a zero-width joiner stays, because emoji are made with it.
    """
    return UNSEEN.sub(_symbol, text.replace("\r\n", "\n"))


UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028\u2029\u202a-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
"""Characters that a reader does not see and a terminal obeys."""


def _symbol(match: re.Match[str]) -> str:
    code = ord(match[0])
    return chr(0x2400 + code) if code < 0x20 else "␡" if code == 0x7F else f"⟨U+{code:04X}⟩"


def load_json(text: bytes | str) -> Json:
    """json.loads, with half surrogate pairs (`"\\ud83d"`, from texts cut inside an emoji) as U+FFFD: no file could hold them."""
    value: Json = json.loads(text)
    escaped = b"\\ud" in text or b"\\uD" in text if isinstance(text, bytes) else "\\ud" in text or "\\uD" in text
    return _whole(value) if escaped else value


def whole(text: str) -> str:
    """The text with half surrogate pairs as U+FFFD."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _whole(value: Json) -> Json:
    if isinstance(value, str):
        return whole(value)
    if isinstance(value, list):
        return [_whole(item) for item in value]
    if isinstance(value, dict):
        return {str(_whole(name)): _whole(item) for name, item in value.items()}
    return value


def parse_json(text: str) -> dict[str, Json] | list[Json] | None:
    """The object or list that the whole text is, or None (also for bare numbers, strings, NaN, doubled keys, over 100 levels)."""
    stripped = text.strip()
    if stripped[:1] not in ("{", "["):
        return None
    try:
        value: Json = json.loads(stripped, parse_constant=_refuse_constant, object_pairs_hook=_once)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, (dict, list)) or _depth(value) > _MAX_DEPTH:
        return None
    mended = _whole(value) if "\\ud" in stripped.lower() else value
    return mended if isinstance(mended, (dict, list)) else None


def nested_deeper(value: Json, limit: int) -> bool:
    """Whether a value has more levels of nesting; counted level by level, since recursion is what it protects from."""
    return _depth(value, limit) > limit


def _depth(value: Json, limit: int = _MAX_DEPTH) -> int:
    depth, level = 0, [value]
    while level and depth <= limit:
        inner: list[Json] = []
        for item in level:
            inner += item.values() if isinstance(item, dict) else item if isinstance(item, list) else []
        depth, level = depth + 1, inner
    return depth


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _once(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    """An object whose keys are all different: of `{"a": 1, "a": 2}` one program takes the first and another the last."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key comes twice")
    return found


def strip_fence(text: str) -> str:
    """The inside of a code fence that is around the whole text; any other text as it is."""
    stripped = text.strip()
    opening = _FENCE.match(stripped)
    if opening is None or not stripped.endswith("```") or stripped.count("```") != 2:
        return text
    return stripped[opening.end() : -3]


def parse_answer(text: str) -> dict[str, Json] | list[Json] | None:
    """The object or list that an answer is, or None. One code fence around it is allowed, prose is not.

    A program that takes the answer can strip a fence without guessing, but not "Sure! Here it is: ...".
    """
    return parse_json(strip_fence(text))


def json_answer(text: str, *, exact: bool = False) -> tuple[bool, Json]:
    """(whether an answer is JSON, its value), bare values and null included.

    exact: as a program reads the text; else one code fence around it is allowed, as for `parse_answer`.
    """
    bare = text if exact else strip_fence(text)
    value = parse_json(bare)
    if value is not None or bare.strip()[:1] in ("{", "["):
        return value is not None, value
    try:
        return True, json.loads(bare, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return False, None


def parse_object(text: str | None) -> dict[str, Json] | None:
    """The JSON object that an answer is (see `parse_answer`), or None."""
    value = parse_answer(text or "")
    return value if isinstance(value, dict) else None


def find_json(text: str, opening: Literal["{", "["]) -> dict[str, Json] | list[Json] | None:
    """The object or list inside prose, from the first opening bracket to the last closing one; never used to judge an answer."""
    start, end = text.find(opening), text.rfind("}" if opening == "{" else "]")
    return parse_json(text[start : end + 1]) if 0 <= start < end else None


def json_values(text: str) -> Iterator[tuple[int, int, dict[str, Json] | list[Json]]]:
    """(start, end, value) of every object and list inside prose, outermost only, in their order.

    It gives up after 2,000 brackets that begin no JSON, since each costs time in proportion to the text.
    """
    decoder, at, failed = json.JSONDecoder(parse_constant=_refuse_constant, object_pairs_hook=_once), 0, 0
    while failed < _MAX_FAILED and (opening := _OPENING.search(text, at)) is not None:
        try:
            value, at = decoder.raw_decode(text, opening.start())
        except RecursionError:
            return  # nested a thousand times: nobody's answer, and each further bracket would cost as much
        except ValueError:
            at, failed = opening.end(), failed + 1
        else:
            yield opening.start(), at, value


def one_line(text: str, limit: int) -> str:
    """A text that a model wrote as one line for a terminal or a table: single blanks, no control characters, cut with `…`."""
    line = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def normalize_value(value: Json) -> Json:
    """A JSON value as it is compared: strings as answers at every depth, numbers by value (2.0 is 2), true is not 1.

    Keys stay as they are, because programs look them up by their exact name.
    """
    if isinstance(value, str):
        return normalize_answer(value)
    if isinstance(value, float):
        return int(value) if value.is_integer() else repr(value) if value in _INFINITIES else value
    if isinstance(value, list):
        return [normalize_value(item) for item in value]
    if isinstance(value, dict):
        return {key: normalize_value(item) for key, item in value.items()}
    return value


_INFINITIES = (float("inf"), float("-inf"))  # 1e999 in a JSON text


def _canonical(value: Json) -> str:
    return json.dumps(normalize_value(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def answer_key(text: str, calls: Calls | None = None) -> str:
    """Equal for equal answers: canonical JSON where the answer is an object or a list, `normalize_answer` otherwise.

    With tool calls it is they that are compared, by `calls_key`, with the text beside them: an answer that is a call has no text,
    and saying nothing is another answer.
    """
    value = parse_answer(text)
    key = f"text {normalize_answer(text)}" if value is None else f"json {_canonical(value)}"
    return f"calls {calls_key(calls)} {key}" if calls else key


def calls_key(calls: Calls) -> str:
    """Equal for the same calls: tools by name, arguments as JSON values whatever the order of their keys (1.0 is 1).

    Neither the ids of the calls nor their order count: they are meant to run side by side.
    """
    return "; ".join(sorted(f"{name} {_canonical(found)}" for name, found in map(read_call, calls)))


def calls_of(text: str) -> list[dict[str, object]]:
    """The tool calls that a text is, one or a list of them in OpenAI's shape; empty for any other text."""
    value = parse_answer(text)
    found = value if isinstance(value, list) else [value]
    calls: list[dict[str, object]] = [
        dict(one) for one in found if isinstance(one, dict) and ("name" in one or "function" in one)
    ]
    return calls if len(calls) == len(found) else []


def read_call(call: Mapping[str, object]) -> tuple[str, Json]:
    """(tool, arguments) of a tool call in OpenAI's shape; arguments that are not a JSON object come as their text."""
    inner = call.get("function", call)
    function = inner if isinstance(inner, Mapping) else {}
    given = function.get("arguments")
    name = str(function.get("name", ""))
    if isinstance(given, Mapping):
        return name, dict(given)
    if given is None or (isinstance(given, str) and not given.strip()):
        return name, {}
    value = parse_json(str(given))
    return name, value if isinstance(value, dict) else str(given)


def same_answer(answer: str, target: str, calls: Calls | None = None, target_calls: Calls | None = None) -> bool:
    """Whether two answers are the same, by `answer_key`."""
    return answer_key(answer, calls) == answer_key(target, target_calls)


INSTRUCTIONS = ("system", "developer")
"""Roles of the operator's turns."""


def is_instruction(turn: Turn) -> bool:
    """Whether a turn is the operator's: a system or developer message."""
    return turn.role in INSTRUCTIONS


def spoken_turns(messages: Iterable[T]) -> list[T]:
    """The turns of a conversation without the operator's instructions."""
    return [turn for turn in messages if not is_instruction(turn)]


def instructions(messages: Iterable[Turn], separator: str = "\n") -> str:
    """The text of the system and developer messages."""
    return separator.join(turn.text for turn in messages if is_instruction(turn))


def conversation_text(messages: Iterable[Turn]) -> str:
    """What makes a prompt different from others: the text of its spoken turns."""
    return "\n".join(turn.text for turn in spoken_turns(messages))


def prompt_key(messages: Iterable[Turn]) -> str:
    """Equal for prompts that ask the same, whatever the system message, case and blanks."""
    return normalize(conversation_text(messages))
