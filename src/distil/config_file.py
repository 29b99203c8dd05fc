"""distil.yaml as a file: the commented one of `distil init`, and changes of single keys that leave all else as it is.

`write_config` takes the comments from the docstrings under the fields, so the file and the code cannot disagree.
"""

from __future__ import annotations

import difflib
import json
import re
import sys
import textwrap
import typing
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import yaml
from pydantic import BaseModel

from distil.config import Config, Loader, override_config, parse_override, place, read_data, section_type
from distil.errors import UserError
from distil.runs.jsonl import write_lines
from distil.runs.section import Section
from distil.text import UNSEEN

COMMENT_WIDTH = 120
LOOK = (
    "teachers.*.model", "teachers.*.sampling.temperature", "teachers.*.sampling.max_tokens", "prompts.path", "prompts.system",
    "collect.budget_usd", "curate.test", "student.model", "student.adapter", "train.method", "train.epochs",
    "evaluate.margin", "cost.queries_per_month", "cost.student_host",
)  # fmt: skip
"""Keys that a short distil.yaml has even at their defaults; * = each entry of a list."""
_NUMBER = re.compile(r"\.\d+\.")


class Edit(NamedTuple):
    """A changed distil.yaml, not written yet."""

    before: str
    after: str

    @property
    def lines(self) -> list[str]:
        """The lines that change, as `-old` and `+new`."""
        lines = difflib.unified_diff(self.before.splitlines(), self.after.splitlines(), lineterm="", n=0)
        return [line for line in lines if line[:2] not in ("--", "++", "@@")]


def edit_config(text: str, overrides: Sequence[str], source: str) -> Edit:
    """The file with `a.b=value` written into it: comments, order and all other lines stay.

    Raises UserError that names `source`: an unknown key, a bad value, or a key that can't be written by itself.
    """
    expected = read_data(text, source)
    override_config(expected, source, overrides)
    changed = text
    for override in overrides:
        keys, value = parse_override(override)
        changed = _with_value(changed, keys, value)
    try:
        same = read_data(changed, source) == expected
    except UserError:
        same = False
    if not same:  # anchors, or a layout that was not foreseen
        said = ", ".join(overrides)
        raise UserError(f"{source}: {said} can't be written into the file as it is laid out. Write it there by hand.")
    return Edit(text, changed)


def write_edit(path: Path, edit: Edit) -> None:
    """Writes the changed file."""
    write_lines(path, edit.after.rstrip("\n").split("\n"))


def _with_value(text: str, keys: Sequence[str], value: object) -> str:
    """The text with the value of one key replaced, or the key added."""
    node, depth = yaml.compose(text, Loader), 0
    start = end = len(text)
    while depth < len(keys) and (found := _child(node, keys[depth])) is not None:
        start, node, depth = found[0], found[1], depth + 1
        end = _end(node)
    rest, wanted = list(keys[depth:]), value
    if rest and isinstance(node, yaml.MappingNode) and not node.flow_style and node.value:
        return _with_line(text, node, f"{rest[0]}: {scalar(_nested(rest[1:], value))}")
    if rest and depth == 0:
        below = f"\n  {rest[1]}: {scalar(_nested(rest[2:], value))}" if rest[1:] else f" {scalar(value)}"
        return text.rstrip() + "\n" * bool(text.strip()) + f"{rest[0]}:{below}\n"
    if rest:
        kept = yaml.load(text[start:end], Loader) if text[start:end].strip() else None
        data: dict[str, object] = kept if isinstance(kept, dict) else {}
        place(data, rest, value)
        wanted = data
    space = "" if text[start - 1 : start] in (" ", "\n", "[", "{") else " "
    return text[:start] + space + scalar(wanted) + text[end:]


def _child(node: yaml.Node | None, key: str) -> tuple[int, yaml.Node] | None:
    """Where the value of a key begins, and its node."""
    if isinstance(node, yaml.SequenceNode) and key.isdigit() and int(key) < len(node.value):
        child = node.value[int(key)]
        return child.start_mark.index, child
    if not isinstance(node, yaml.MappingNode):
        return None
    for name, child in node.value:
        if name.value == key:
            block = isinstance(child, yaml.CollectionNode) and not child.flow_style
            # a block begins on a line of its own, and what replaces it follows its key
            return (name.end_mark.index + 1 if block else child.start_mark.index), child
    return None


def _end(node: yaml.Node) -> int:
    """Where a value ends; of a block the last thing in it, without the comments that follow."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _end(last[1] if isinstance(last, tuple) else last)
    return int(node.end_mark.index)


def _with_line(text: str, node: yaml.MappingNode, line: str) -> str:
    """The text with one more entry at the end of a block mapping."""
    indent = " " * node.value[0][0].start_mark.column
    end = text.find("\n", _end(node))
    end = len(text) if end < 0 else end
    return f"{text[:end]}\n{indent}{line}{text[end:]}"


def _nested(keys: Sequence[str], value: object) -> object:
    for key in reversed(keys):
        value = {key: value}
    return value


def known_settings() -> list[str]:
    """Every key that distil.yaml may have, such as train.epochs and teachers.0.model."""
    return sorted(_known(Config, ""))


def _known(section: type[BaseModel], prefix: str) -> Iterator[str]:
    for name, field in section.model_fields.items():
        inner = section_type(field.annotation)
        item = ".0" if typing.get_origin(field.annotation) is list else ""
        if inner is None:
            yield prefix + name
        else:
            yield from _known(inner, f"{prefix}{name}{item}.")


def flat_settings(config: Config, *, changed: bool = False) -> dict[str, object]:
    """Each key, such as train.epochs or teachers.0.model, with its value; `changed`: only those that differ from the defaults."""
    return dict(_flat(config, "", changed))


def _flat(section: BaseModel, prefix: str, changed: bool) -> Iterator[tuple[str, object]]:
    for name, field in type(section).model_fields.items():
        value, key = getattr(section, name), prefix + name
        below = {key: value} if isinstance(value, BaseModel) else {}
        if isinstance(value, list) and value and isinstance(value[0], BaseModel):
            below = {f"{key}.{at}": item for at, item in enumerate(value)}
        for part, item in below.items():
            yield from _flat(item, f"{part}.", changed)
        if not below and (not changed or field.is_required() or value != field.get_default(call_default_factory=True)):
            yield key, value


def write_config(config: Config) -> str:
    """A commented distil.yaml: every key with its value and its docstring as a comment."""
    head = "# Distil: all keys with their meaning; delete what you do not need. `distil plan` shows what it will cost."
    return _written(config, head, None)


def write_short_config(config: Config) -> str:
    """A commented distil.yaml of what differs from the defaults and of what is worth a look (LOOK)."""
    head = (
        "# Distil: what differs from the defaults, and what is worth a look. `distil config show` lists all keys and values,\n"
        "# `distil config set KEY=VALUE` writes one. `distil plan` shows what it will cost."
    )
    return _written(config, head, {*flat_settings(config, changed=True), *LOOK})


def _written(config: Config, head: str, kept: set[str] | None) -> str:
    """kept: the keys to write, such as teachers.0.model; None = all, with all that is said of them."""
    lines = [head]
    for name, field in Config.model_fields.items():
        value = getattr(config, name)
        about = field.description if kept is None else _first_sentence(field.description)
        if isinstance(value, Section):
            below = _section_lines(value, "  ", f"{name}.", kept)
            lines += ["", f"# {about}", f"{name}:", *below] if below else []
        elif isinstance(value, list):
            lines += ["", f"# {about}", f"{name}:"]
            for at, item in enumerate(value):
                lines += ["  -", *_section_lines(item, "    ", f"{name}.{at}.", kept)]
        else:
            lines += ["", *_commented("", f"{name}: {scalar(value)}", about)]
    return "\n".join(lines) + "\n"


def _section_lines(section: BaseModel, indent: str, prefix: str, kept: set[str] | None) -> list[str]:
    lines = []
    for name, field in type(section).model_fields.items():
        value, key = getattr(section, name), prefix + name
        about = field.description if kept is None else _first_sentence(field.description)
        if isinstance(value, BaseModel):
            below = _section_lines(value, indent + "  ", f"{key}.", kept)
            lines += [*_commented(indent, f"{name}:", about), *below] if below else []
        elif kept is None or any(pattern in kept for pattern in (key, _NUMBER.sub(".*.", key))):
            lines += _commented(indent, f"{name}: {scalar(value)}", about)
    return lines


def _first_sentence(description: str | None) -> str:
    """Of a docstring, with what null means where it follows in the same line."""
    text = " ".join((description or "").split())
    found = re.match(r".*?(?<!such as)[.](?=\s[A-Z0-9`]|$)", text)
    return found[0] if found else text


def _commented(indent: str, text: str, description: str | None) -> list[str]:
    """The line with its comment at the end if it fits, otherwise on the lines above."""
    comment = " ".join((description or "").split())
    line = f"{indent}{text}"
    if not comment:
        return [line]
    if len(line) + len(comment) + 4 <= COMMENT_WIDTH:
        return [f"{line}  # {comment}"]
    return [
        *(
            f"{indent}# {part}"
            for part in textwrap.wrap(comment, COMMENT_WIDTH - len(indent) - 2, break_on_hyphens=False)
        ),
        line,
    ]


def scalar(value: object) -> str:
    """A value in one-line YAML (JSON is YAML, but plain words need no quotes)."""
    if isinstance(value, str) and UNSEEN.search(value) is not None:
        return json.dumps(value)  # YAML refuses control characters, and takes them escaped
    if (
        isinstance(value, str)
        and value
        and not set(value) & set(":#{}[],&*!|>'\"%@`\n")
        and yaml.safe_load(value) == value
    ):
        return value
    if isinstance(value, list):
        return json.dumps([v.model_dump() if isinstance(v, BaseModel) else v for v in value], ensure_ascii=False)
    if isinstance(value, dict):
        flow = yaml.safe_dump(value, default_flow_style=True, width=sys.maxsize, sort_keys=False, allow_unicode=True)
        return flow.strip()
    text = json.dumps(value, ensure_ascii=False)
    # without a point, 1e-05 is a text in YAML 1.1
    return text.replace("e", ".0e") if isinstance(value, float) and "." not in text else text
