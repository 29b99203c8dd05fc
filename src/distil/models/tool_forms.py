"""The ways in which models write tool calls in a text, each of which finds the calls again.

Which of them a model uses is derived from its chat template (tool_format.py).
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Sequence
from types import MappingProxyType
from typing import NamedTuple, Protocol

from distil.models.chat_template import PROBE_ID
from distil.models.template import Turn
from distil.models.tool_objects import value_at

_DECODER = json.JSONDecoder()
_NAME = r"([A-Za-z_][\w.\-]*)"
_NO_MARK = re.compile(r"\s*(?:<\|python_tag\|>)?\s*[\[{]")
_ATTRIBUTE = re.compile(r'="([^"]*)"')
_OPENED_CALL = re.compile(r"\s*" + _NAME + r"\(")
_KEYWORD = re.compile(r"\s*,?\s*(\w+)=")
_CALL_END = re.compile(r"\s*\)\s*,?")
# A text ends at a quote behind which the next argument, or the end of the call and the next call or the list's end, stands.
_UNESCAPED = re.compile(r"(['\"])(.*?)\1(?=\s*(?:,\s*\w+=|\)\s*(?:\]|,\s*[\w.\-]+\()))", re.DOTALL)


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


class JsonCalls(NamedTuple):
    """A JSON object that holds the name and the arguments."""

    mark: str
    """What stands before the object, brackets excluded; "" = the whole answer is calls."""
    name_at: tuple[str, ...]
    """The keys that lead to it; none: it is the only key."""
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
            for value, end in json_values(text, start + len(self.mark)):  # noqa: B007 (the end of the last object is used)
                name, arguments = self._name_and_arguments(value)
                if isinstance(name, str) and isinstance(arguments, dict) and (known is None or name in known):
                    found.append(Call(name, arguments, start))
        return found

    def _name_and_arguments(self, value: object) -> tuple[object, object]:
        if self.name_at:
            return _at(value, self.name_at), _at(value, self.arguments_at)
        return next(iter(value.items())) if isinstance(value, dict) and len(value) == 1 else (None, None)


class NamedJson(NamedTuple):
    """A name, something without a brace, and a JSON object of the arguments."""

    mark: str
    between: str
    opened: bool = False
    """The prompt ends with the first call's mark; a name of one of the tools must follow at once."""

    def calls(self, text: str, tools: Sequence[Turn]) -> list[Call]:
        """Every name after the mark that an object follows."""
        gap = r"[^{]*?" if self.between.strip() else r"\s*"
        mark = re.escape(self.mark).replace(PROBE_ID, r"[\w\-]+")
        if self.opened:
            mark = rf"(?:\A|{mark})" if self.mark else r"\A"
        pattern = re.compile(mark + r"\s*" + _NAME + gap + r"(?=\{)")
        known = _names(tools) if self.opened else None
        found: list[Call] = []
        for match in pattern.finditer(text):
            for value, _ in json_values(text, match.end(), only_one=True):
                if isinstance(value, dict) and (known is None or match.group(1) in known):
                    found.append(Call(match.group(1), value, match.start()))
        return found


class BareKeyCalls(NamedTuple):
    """A name and an object whose keys are bare words and whose texts stand between a mark of their own."""

    mark: str
    quote: str

    def calls(self, text: str, tools: Sequence[Turn]) -> list[Call]:
        """Every name after the mark that such an object follows."""
        found: list[Call] = []
        end = 0
        for match in re.finditer(re.escape(self.mark) + r"\s*" + _NAME + r"\s*(?=\{)", text):
            value = value_at(text, match.end(), self.quote) if match.start() >= end else None
            if value is not None and isinstance(value[0], dict):
                found.append(Call(match.group(1), value[0], match.start()))
                end = value[1]
        return found


class TaggedCalls(NamedTuple):
    """A name, and every argument between tags."""

    mark: str
    key_open: str
    key_close: str
    """As it stands before a text; its attributes may say that a value is none (DeepSeek's string="false")."""
    value_close: str

    def calls(self, text: str, tools: Sequence[Turn]) -> list[Call]:
        """Every name after the mark; values are read by the tag's attributes or the tool's schema, as text where these say so."""
        name = re.compile(re.escape(self.mark) + r"\s*" + _NAME)
        starts = list(name.finditer(text))
        close = "".join(
            '="([^"]*)"' if number % 2 else re.escape(part)
            for number, part in enumerate(_ATTRIBUTE.split(self.key_close))
        )
        texts = tuple(_ATTRIBUTE.findall(self.key_close))
        argument = re.compile(
            rf"{re.escape(self.key_open)}\s*(?P<key>[^<>\"\n]+?)\s*{close}\n?(?P<value>.*?)\n?{re.escape(self.value_close)}",
            re.DOTALL,
        )
        found = []
        for start, end in zip(starts, [*(s.start() for s in starts[1:]), len(text)], strict=False):
            body = text[start.end() : end]
            types = _types(tools, start.group(1))
            arguments = {}
            for match in argument.finditer(body):
                attributes = match.groups()[1:-1]
                kind = types.get(match["key"]) if not texts else "string" if attributes == texts else "other"
                arguments[match["key"]] = _typed(match["value"], kind)
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
        known = _names(tools)
        return [Call(*call, start) for call in _unescaped_calls(text, begin + 1) if call[0] in known]


def json_values(text: str, start: int, *, only_one: bool = False) -> Iterator[tuple[object, int]]:
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
        pass
    try:  # a template that prints an object as Python does (Seed-OSS)
        return _literal(ast.parse(value.strip(), mode="eval").body)
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError):
        return value


def _python_calls(tree: ast.expr) -> Iterator[tuple[str, dict[str, object]]]:
    for node in tree.elts if isinstance(tree, ast.List) else []:
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            try:
                yield node.func.id, {str(k.arg): _literal(k.value) for k in node.keywords if k.arg}
            except (ValueError, SyntaxError):
                continue


def _unescaped_calls(text: str, at: int) -> Iterator[tuple[str, dict[str, object]]]:
    """The calls of a list whose texts hold their own quotes, as LFM2's template writes them: name='O'Brien'."""
    while name := _OPENED_CALL.match(text, at):
        arguments: dict[str, object] = {}
        at = name.end()
        while key := _KEYWORD.match(text, at):
            at = key.end()
            if quoted := _UNESCAPED.match(text, at):
                arguments[key[1]], at = quoted[2], quoted.end()
            elif (found := value_at(text, at)) is not None:
                arguments[key[1]], at = found
            else:
                return
        end = _CALL_END.match(text, at)
        if end is None:
            return
        yield name[1], arguments
        at = end.end()


class _JsonWords(ast.NodeTransformer):
    """JSON's true, false and null, anywhere in a value, are Python's."""

    WORDS = MappingProxyType({"true": True, "false": False, "null": None})

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return ast.copy_location(ast.Constant(self.WORDS[node.id]), node) if node.id in self.WORDS else node


def _literal(node: ast.expr) -> object:
    return ast.literal_eval(_JsonWords().visit(node))
