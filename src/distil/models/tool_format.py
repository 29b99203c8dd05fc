"""The calls in a student's text, read back as OpenAI's tool_calls: the inverse of what its chat template writes.

The form is derived from the template itself: a probe call is rendered, and where its name and arguments stand says how to read
others. A form counts only when it reads the probe back. Four kinds cover the families: a JSON object with the name inside (Qwen
and Hermes, Llama 3, Mistral, Granite, SmolLM), a name before a JSON object (DeepSeek, gpt-oss, newer Mistral), a name with tagged
arguments (Qwen3-Coder, Qwen3.5, Nemotron 3, GLM), and Python's own calls (LFM2).
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple, Protocol

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

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SECOND_NAME = "distil_second"
SECOND_TOOL: Turn = {**PROBE_TOOL, "function": {**PROBE_TOOL["function"], "name": SECOND_NAME}}
_DECODER = json.JSONDecoder()
_NAME = r"([A-Za-z_][\w.\-]*)"
_NO_MARK = re.compile(r"\s*(?:<\|python_tag\|>)?\s*[\[{]")


class Call(NamedTuple):
    """One call in a text."""

    name: str
    arguments: dict[str, object]
    start: int
    """Where its first character (of its opening mark) stands."""


class CallFormat(Protocol):
    """One way to write calls."""

    def calls(self, text: str, tools: Sequence[Turn]) -> list[Call]:
        """All calls in the text, in order."""


class AnswerWithCalls(NamedTuple):
    """A student's answer in OpenAI's shape."""

    text: str
    """What stands before the calls."""
    tool_calls: list[Turn]
    """OpenAI's tool_calls, arguments as JSON text; empty where there are none."""


class JsonCalls(NamedTuple):
    """A JSON object that holds the name and the arguments."""

    mark: str
    """What stands before the object, brackets excluded; "" = the whole answer is calls."""
    name_at: tuple[str, ...]
    arguments_at: tuple[str, ...]

    def calls(self, text: str, tools: Sequence[Turn]) -> list[Call]:
        """Objects after the mark; without a mark the text must begin with one, and its name must be a tool's."""
        if not self.mark and not _NO_MARK.match(text):
            return []
        known = None if self.mark else _names(tools)
        starts = [m.start() for m in re.finditer(re.escape(self.mark), text)] if self.mark else [0]
        found: list[Call] = []
        end = 0
        for start in starts:
            if start < end:
                continue
            for value, end in _values(text, start + len(self.mark)):  # noqa: B007 (the end of the last object is used)
                name, arguments = _at(value, self.name_at), _at(value, self.arguments_at)
                if isinstance(name, str) and isinstance(arguments, dict) and (known is None or name in known):
                    found.append(Call(name, arguments, start))
        return found


class NamedJson(NamedTuple):
    """A name, something without a brace, and a JSON object of the arguments."""

    mark: str
    between: str

    def calls(self, text: str, tools: Sequence[Turn]) -> list[Call]:
        """Every name after the mark that an object follows."""
        gap = r"[^{]*?" if self.between.strip() else r"\s*"
        mark = re.escape(self.mark).replace(PROBE_ID, r"[\w\-]+")
        pattern = re.compile(mark + r"\s*" + _NAME + gap + r"(?=\{)")
        found: list[Call] = []
        for match in pattern.finditer(text):
            for value, _ in _values(text, match.end(), only_one=True):
                if isinstance(value, dict):
                    found.append(Call(match.group(1), value, match.start()))
        return found


class TaggedCalls(NamedTuple):
    """A name, and every argument between tags."""

    mark: str
    key_open: str
    key_close: str
    value_close: str

    def calls(self, text: str, tools: Sequence[Turn]) -> list[Call]:
        """Every name after the mark; values are read by the tool's schema, as text where it says so."""
        name = re.compile(re.escape(self.mark) + r"\s*" + _NAME)
        starts = list(name.finditer(text))
        argument = re.compile(
            rf"{re.escape(self.key_open)}\s*([^<>\"\n]+?)\s*{re.escape(self.key_close)}\n?(.*?)\n?{re.escape(self.value_close)}",
            re.DOTALL,
        )
        found = []
        for start, end in zip(starts, [*(s.start() for s in starts[1:]), len(text)], strict=False):
            body = text[start.end() : end]
            types = _types(tools, start.group(1))
            arguments = {key: _typed(value, types.get(key)) for key, value in argument.findall(body)}
            found.append(Call(start.group(1), arguments, start.start()))
        return found


class PythonCalls(NamedTuple):
    """Calls as Python writes them, in a list."""

    mark: str

    def calls(self, text: str, tools: Sequence[Turn]) -> list[Call]:
        """What Python's own parser reads between the mark and its closing bracket."""
        start = text.find(self.mark) if self.mark else 0
        begin = text.find("[", start) if start >= 0 else -1
        if begin < 0 or (not self.mark and text[:begin].strip()):
            return []
        for end in [m.end() for m in re.finditer(r"\]", text) if m.start() > begin]:
            try:
                tree = ast.parse(text[begin:end].replace("\n", "\\n"), mode="eval").body
            except (SyntaxError, ValueError, MemoryError, RecursionError):
                continue
            return [Call(*call, start) for call in _python_calls(tree)]
        return []


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
    if isinstance(form, NamedJson | TaggedCalls) and second >= 0:
        each = _common_end(mark, two[:second].rstrip()).strip()
        if each and each != mark:
            yield form._replace(mark=each), mark.removesuffix(each).strip()


def _forms(text: str) -> Iterator[CallFormat]:
    """The forms that the probe's text may be in."""
    at = text.find(PROBE_NAME)
    after = at + len(PROBE_NAME)
    for start in [m.start() for m in re.finditer(r"\{", text) if m.start() < at]:
        for value, end in _values(text, start, only_one=True):
            name_at, arguments_at = _path(value, PROBE_NAME), _path(value, PROBE_ARGUMENTS)
            if end > after and name_at and arguments_at:
                yield JsonCalls(text[:start].rstrip().removesuffix("[").strip(), name_at, arguments_at)
    mark = text[:at].strip()
    for start in [m.start() for m in re.finditer(r"\{", text) if m.start() >= after]:
        for value, _ in _values(text, start, only_one=True):
            if value == PROBE_ARGUMENTS and mark:
                yield NamedJson(mark, text[after:start])
    if text[after : after + 1] == "(":
        yield PythonCalls(text[:at].strip().removesuffix("[").strip())
    key, amber, beta = text.find("alpha", after), text.find("amber", after), text.find("beta", after)
    if mark and after <= key < amber < beta:
        head, close = text[after:key], text[amber + 5 : beta]
        opening = _common_end(head, close).strip()
        value_close = close.strip().removesuffix(opening).strip()
        yield TaggedCalls(mark, opening, text[key + 5 : amber].strip(), value_close)


def _values(text: str, start: int, *, only_one: bool = False) -> Iterator[tuple[object, int]]:
    """JSON objects from `start` on, over blanks, brackets, commas and semicolons; each with where it ends."""
    while match := re.compile(r"[\s\[\],;]*(?:<\|python_tag\|>)?\s*(?=\{)").match(text, start):
        try:
            value, start = _DECODER.raw_decode(text, match.end())
        except (json.JSONDecodeError, RecursionError):
            return
        yield value, start
        if only_one:
            return


def _at(value: object, path: tuple[str, ...]) -> object:
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _path(value: object, wanted: object) -> tuple[str, ...] | None:
    """The keys that lead to `wanted` in nested objects."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if inner == wanted:
                return (key,)
            if (rest := _path(inner, wanted)) is not None:
                return (key, *rest)
    return None


def _names(tools: Sequence[Turn]) -> set[str]:
    return {str((tool.get("function") or tool).get("name")) for tool in tools}


def _types(tools: Sequence[Turn], name: str) -> dict[str, object]:
    """Argument -> its type in the schema of this tool."""
    for tool in tools:
        function = tool.get("function") or tool
        if function.get("name") == name:
            properties = (function.get("parameters") or {}).get("properties") or {}
            return {key: schema.get("type") for key, schema in properties.items() if isinstance(schema, dict)}
    return {}


def _typed(value: str, kind: object) -> object:
    if kind == "string":
        return value
    try:
        return json.loads(value)
    except (json.JSONDecodeError, RecursionError):
        return {"True": True, "False": False, "None": None}.get(value, value)


def _python_calls(tree: ast.expr) -> Iterator[tuple[str, dict[str, object]]]:
    for node in tree.elts if isinstance(tree, ast.List) else []:
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            try:
                yield node.func.id, {str(k.arg): _literal(k.value) for k in node.keywords if k.arg}
            except (ValueError, SyntaxError):
                continue


def _literal(node: ast.expr) -> object:
    """A Python literal, or one of JSON's words."""
    words = {"true": True, "false": False, "null": None}
    return words[node.id] if isinstance(node, ast.Name) and node.id in words else ast.literal_eval(node)


def _common_end(one: str, other: str) -> str:
    size = 0
    while size < min(len(one), len(other)) and one[-1 - size] == other[-1 - size]:
        size += 1
    return one[len(one) - size :]
