"""Chat templates: the one that a tokenizer is used with, its fixed arguments and date, and how a conversation becomes text.

A prepared template renders the same bytes in every stage and on every server: its arguments (such as enable_thinking), the date
and the end of the generation prompt are written into its text. Not tokens: those are made in render.py.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date as Date
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from distil.errors import UserError, did_you_mean
from distil.models.student_prompt import block, block_of, setting, without_block

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from distil.models.config import StudentConfig
    from distil.runs.artifacts import Project

Turn = dict[str, Any]
"""A message, a tool or a tool call as the chat template takes it."""
OWN_TEMPLATES = Path(__file__).parent / "templates"
THINKING = "enable_thinking"
"""The argument that turns thinking on or off, here for every template; some call it `thinking` in their own text."""
MARKER = re.compile(r"\{%-?\s*generation\s*-?%\}")
_HEADER = re.compile(r"\{# distil (\{.*?\}) #\}\n(?:\{% set \w+ = .*? %\}\n)*", re.DOTALL)
_SUFFIX = "{# distil: the answer starts here #}"
_STRFTIME = re.compile(r"strftime_now\(\s*(?:'([^']*)'|\"([^\"]*)\")\s*\)")
_OPEN_THINKING = re.compile(r"(<think>|<seed:think>|\[THINK\]|<\|START_THINKING\|>)(\s*)$")
_CLOSES = {
    "<think>": "</think>",
    "<seed:think>": "</seed:think>",
    "[THINK]": "[/THINK]",
    "<|START_THINKING|>": "<|END_THINKING|>",
}
PLAIN_OPENING, PLAIN_CLOSING = "<think>\n", "\n</think>\n\n"
"""Around thinking in front of an answer, where a template has no place for it."""
_SWITCH = re.compile(rf"\b(?:{THINKING}|thinking)\b")
_THOUGHT = "Zq9thought9qZ"
_FINAL_CHANNEL = "<|channel|>final<|message|>"


@dataclass(frozen=True)
class TemplateSettings:
    """How a tokenizer's chat template is prepared."""

    template: str | None = None
    """A .jinja file, or the name of one of Distil's own templates; None = the tokenizer's."""
    args: Mapping[str, object] = field(default_factory=dict)
    """Fixed arguments of the template."""
    date: str | None = None
    """ISO date that stands for today; None = not pinned."""
    prompt: str | None = None
    """What replaces the instructions of each conversation: a text, or "" for nothing; None = whatever the template has now."""
    as_published: bool = False
    """Leave the template's own defaults (a thinking model thinks): for teachers."""
    opens_thinking: bool = True
    """With thinking on, end the prompt by <think> where the template has no place for thinking: for who was taught so."""


def student_template(student: StudentConfig, project: Project) -> TemplateSettings:
    """The student's settings in this project: files relative to it, the date pinned at its first use."""
    name = student.chat_template
    if name is not None and (project.root / name).is_file():
        name = str(project.root / name)
    date = pinned_date(project.template_date)
    return TemplateSettings(name, dict(student.template_args), date, setting(student.prompt))


def base_template(student: StudentConfig, project: Project) -> TemplateSettings:
    """How the untuned base is asked: by the template that it was made with and the whole prompt, thinking as the student."""
    settings = replace(student_template(student, project), prompt=None)
    if settings.args.get(THINKING):
        settings = replace(settings, opens_thinking=False)
    if settings.template is None:
        return settings
    return replace(settings, template=None, args={k: v for k, v in settings.args.items() if k == THINKING})


def pinned_date(file: Path) -> str:
    """The date in `file`; today's is written there where it does not exist. A training over midnight keeps its prompt."""
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            with file.open("x", encoding="utf-8") as new:
                new.write(Date.today().isoformat() + "\n")
        except FileExistsError:  # another process was first
            pass
    text = file.read_text(encoding="utf-8").strip()
    try:
        return Date.fromisoformat(text).isoformat() if text else Date.today().isoformat()
    except ValueError:
        raise UserError(
            f"{file} holds {text[:40]!r}, expected a date such as 2026-01-31. Correct it, or remove it."
        ) from None


def prepare(tokenizer: PreTrainedTokenizerBase, settings: TemplateSettings) -> None:
    """Writes template, arguments and date into the tokenizer, so that a folder saved with it renders the same everywhere.

    A template that was prepared before keeps its arguments unless `settings.args` names others. Raises UserError for an unknown
    template, an argument that the template does not know, and an unreadable template.
    """
    text = template_text(settings.template) if settings.template is not None else raw_template(tokenizer)
    before, body = _split(text)
    special = special_texts(tokenizer)
    if before is None or settings.args:
        args = {**(before or {}), **settings.args}
        text = _baked(body, args, settings.date, settings.as_published, special)
        if not settings.opens_thinking:
            text = text.removesuffix(_asks(PLAIN_OPENING))
    tokenizer.chat_template = text if settings.prompt is None else _with_prompt(text, settings.prompt, special)


def _with_prompt(text: str, prompt: str, special: Mapping[str, object]) -> str:
    """A prepared template that shows `prompt` in place of the instructions. Raises UserError where it has no system turn."""
    plain = without_block(text)
    if not prompt:
        return _in_front(plain, block(prompt, in_parts=False))
    user: Turn = {"role": "user", "content": "Hello"}
    for in_parts in (False, True):
        found = _in_front(plain, block(prompt, in_parts=in_parts))
        chat = [{**user, "content": [{"type": "text", "text": "Hello"}]}] if in_parts else [user]
        try:
            if prompt.strip() in apply(found, special, chat, None, generation_prompt=True):
                return found
        except UserError:
            continue
    raise UserError(
        "student.prompt is a text, and the student's chat template has no place for a system turn. Set student.prompt: none, or "
        f"student.chat_template to one that shows it (a .jinja file, or one of {', '.join(own_templates())})."
    )


def _in_front(text: str, lines: str) -> str:
    """The lines between the arguments of a prepared template and its body."""
    head = _HEADER.match(text)
    start = head.end() if head else 0
    return text[:start] + lines + text[start:]


def prepared(tokenizer: PreTrainedTokenizerBase) -> str:
    """The text that is rendered: the tokenizer's template, with Distil's defaults where `prepare` has not been called."""
    text = raw_template(tokenizer)
    return text if _HEADER.match(text) else _default(text, tuple(sorted(special_texts(tokenizer).items())))


def has_thinking_on(text: str) -> bool:
    """Whether a prepared template asks the model to think before it answers."""
    args, body = _split(text)
    if args and THINKING in args:
        return bool(args[THINKING])
    return args is not None and THINKING in body


def own_templates() -> list[str]:
    """Names of Distil's own training templates."""
    return sorted(path.stem for path in OWN_TEMPLATES.glob("*.jinja"))


def template_text(name: str) -> str:
    """The text of one of Distil's templates, or of a file. Raises UserError where there is neither."""
    own = OWN_TEMPLATES / f"{name}.jinja"
    path = own if name in own_templates() else Path(name).expanduser()
    if not path.is_file():
        raise UserError(
            f"student.chat_template is {name!r}: there is no such file, and Distil has no template of that name."
            f"{did_you_mean(name, own_templates())} Expected a .jinja file (relative to the project), or one of "
            f"{', '.join(own_templates())}."
        )
    return path.read_text(encoding="utf-8").removesuffix("\n")


def raw_template(tokenizer: PreTrainedTokenizerBase) -> str:
    """The tokenizer's template; several become one, `tool_use` where there are tools. Raises UserError where there is none."""
    template: object = tokenizer.chat_template
    if isinstance(template, dict):
        default = template.get("default") or next(iter(template.values()), None)
        tools = template.get("tool_use")
        template = "{% if tools %}" + tools + "{% else %}" + default + "{% endif %}" if tools and default else default
    if not isinstance(template, str) or not template:
        raise UserError(
            "The tokenizer has no chat template, so messages can't become tokens. Use an instruct model, or set "
            f"student.chat_template to a .jinja file or to one of {', '.join(own_templates())}."
        )
    return template


def apply(
    template: str,
    special: Mapping[str, object],
    chat: Sequence[Turn],
    tools: Sequence[Turn] | None,
    *,
    generation_prompt: bool,
) -> str:
    """The text of a conversation. Raises UserError, in one paragraph, for whatever the template raises."""
    return _rendered(template, special, chat, tools, add_generation_prompt=generation_prompt)[0]


def marked_spans(
    template: str, special: Mapping[str, object], chat: Sequence[Turn], tools: Sequence[Turn] | None
) -> list[str]:
    """The texts between `{% generation %}` marks, in order; empty for a template without them."""
    if not MARKER.search(template):
        return []
    text, spans = _rendered(template, special, chat, tools, return_assistant_tokens_mask=True)
    return [text[start:end] for start, end in spans]


def _rendered(
    template: str,
    special: Mapping[str, object],
    chat: Sequence[Turn],
    tools: Sequence[Turn] | None,
    **options: bool,
) -> tuple[str, list[tuple[int, int]]]:
    from transformers.utils.chat_template_utils import render_jinja_template

    with template_errors(chat):
        pair = cast("Any", render_jinja_template)(
            conversations=[list(chat)],
            tools=list(tools) if tools else None,
            chat_template=template,
            **options,
            **special,
        )
    texts, spans = pair
    return str(texts[0]), [(int(start), int(end)) for start, end in spans[0]] if spans else []


@contextmanager
def template_errors(chat: Sequence[Turn]) -> Iterator[None]:
    """Whatever a template raises on this conversation, as one UserError."""
    import jinja2

    try:
        yield
    except (jinja2.TemplateError, TypeError, KeyError, IndexError, AttributeError, ValueError) as error:
        roles = ", ".join(str(turn.get("role")) for turn in chat)
        raise UserError(
            f"The model's chat template refuses this conversation (turns: {roles}): {str(error).rstrip('.')}."
        ) from None


def special_texts(tokenizer: PreTrainedTokenizerBase) -> dict[str, object]:
    """The tokenizer's special tokens by the names that templates know them by."""
    return {name: value for name, value in tokenizer.special_tokens_map.items() if isinstance(value, str)}


def _split(text: str) -> tuple[dict[str, object] | None, str]:
    """(arguments of a prepared template, or None; the template without them)."""
    head = _HEADER.match(text)
    if head is None:
        return None, text
    found: dict[str, object] = json.loads(head.group(1))
    return found, text[head.end() :].split(_SUFFIX)[0]


@lru_cache(maxsize=64)
def _default(text: str, special: tuple[tuple[str, object], ...]) -> str:
    return _baked(text, {}, None, False, dict(special))


def _baked(
    body: str, args: Mapping[str, object], date: str | None, as_published: bool, special: Mapping[str, object]
) -> str:
    """The template with its arguments in front, the date in place, and thinking closed at its end where it is off."""
    args = dict(args)
    unknown = [name for name in args if name != THINKING and not re.search(rf"\b{re.escape(name)}\b", body)]
    if unknown:
        raise UserError(
            f"student.template_args names {', '.join(unknown)}, which the chat template does not use. Check the spelling, or "
            "remove it."
        )
    if not as_published and THINKING in body:
        args.setdefault(THINKING, False)
    if date is not None:
        body = with_date(body, Date.fromisoformat(date))
    sets = {name: value for name, value in args.items() if name != THINKING or THINKING in body}
    if THINKING in args and THINKING not in body and re.search(r"\bthinking\b", body):
        sets["thinking"] = args[THINKING]  # what Granite and DeepSeek-V3.1 call it
    lines = [f"{{# distil {_literal(args)} #}}", *(f"{{% set {k} = {_value(v)} %}}" for k, v in sets.items())]
    if _needs_tool_list(body, special):
        lines.append("{% set tools = tools or [] %}")
    head = "".join(line + "\n" for line in lines)
    if as_published:
        return head + body
    if args.get(THINKING):
        opening = "" if _SWITCH.search(body) else _opening(head + body, special)
        return head + body.removesuffix("\n") + opening if opening else head + body
    return head + body.removesuffix("\n") + _closing(head + body, special)


def _needs_tool_list(body: str, special: Mapping[str, object]) -> bool:
    """Whether the template reads the list of tools also where there is none (then it is given an empty one)."""
    chat = [{"role": "user", "content": "Hello"}]
    try:
        apply(body, special, chat, None, generation_prompt=True)
    except UserError:
        try:
            apply("{% set tools = tools or [] %}\n" + body, special, chat, None, generation_prompt=True)
        except UserError:
            return False
        return True
    return False


def with_date(template: str, today: Date) -> str:
    """`strftime_now("...")` as plain text of this date; some servers don't have that function at all."""

    def text(call: re.Match[str]) -> str:
        return json.dumps(today.strftime(call.group(1) or call.group(2) or ""), ensure_ascii=False)

    pinned = _STRFTIME.sub(text, template)
    pinned = re.sub(r"strftime_now\s+is\s+not\s+defined", "false", pinned)
    return re.sub(r"strftime_now\s+is\s+defined", "true", pinned)


def _closing(template: str, special: Mapping[str, object]) -> str:
    """What ends the generation prompt where thinking is off: the end of thinking that was opened, the channel of the answer."""
    try:
        asked = apply(template, special, [{"role": "user", "content": "Hello"}], None, generation_prompt=True)
    except UserError:
        return ""  # said when a real conversation is rendered
    opened = _OPEN_THINKING.search(asked)
    if opened:
        gap = "\n" if opened.group(2) else ""
        ending = f"{gap}{_CLOSES[opened.group(1)]}{gap * 2}"
        return _asks(ending)
    if asked.endswith("<|start|>assistant") and "<|channel|>final" in template:
        ending = _value(_FINAL_CHANNEL)  # with tools the student chooses the channel itself
        return f"{_SUFFIX}{{% if add_generation_prompt and not tools %}}{{{{ {ending} }}}}{{% endif %}}"
    return ""


def _asks(ending: str) -> str:
    """The Jinja that ends a generation prompt so."""
    return f"{_SUFFIX}{{% if add_generation_prompt %}}{{{{ {_value(ending)} }}}}{{% endif %}}"


def _opening(template: str, special: Mapping[str, object]) -> str:
    """What ends the generation prompt where a template has neither a place for thinking nor a switch: the student is asked to
    think by an opened <think>, as DeepSeek-R1 and its distillations are, and thinks up to </think>."""
    if shows_thinking(template, special):
        return ""
    try:
        asked = apply(template, special, [{"role": "user", "content": "Hello"}], None, generation_prompt=True)
    except UserError:
        return ""
    if _OPEN_THINKING.search(asked) or asked.rstrip().endswith(tuple(_CLOSES.values())):
        return ""
    return _asks(PLAIN_OPENING)


def shows_thinking(template: str, special: Mapping[str, object]) -> bool:
    """Whether a prepared template shows the thinking of the last turn, under any of the names that templates know it by."""
    thought = {"reasoning_content": _THOUGHT, "thinking": _THOUGHT}
    for content in ("Good day", [{"type": "text", "text": "Good day"}]):
        chat: list[Turn] = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": content, **thought}]
        try:
            if _THOUGHT in apply(template, special, chat, None, generation_prompt=False):
                return True
        except UserError:
            continue
    return False


def with_thinking(text: str, special: Mapping[str, object], *, on: bool) -> str:
    """A prepared template as it would be with thinking on or off; a baked prompt stays."""
    args, body = _split(without_block(text))
    return _in_front(_baked(body, {**(args or {}), THINKING: on}, None, False, special), block_of(text))


def thinking_argument(text: str) -> object:
    """What a prepared template was given for enable_thinking; None where nothing was."""
    return (_split(without_block(text))[0] or {}).get(THINKING)


def _literal(args: Mapping[str, object]) -> str:
    """JSON without `#}`, which would end the comment."""
    return json.dumps(args, sort_keys=True).replace("#", "\\u0023")


def _value(value: object) -> str:
    """A value as Jinja writes it: JSON, in which true, false and null are written the same but for null."""
    return "none" if value is None else json.dumps(value, ensure_ascii=False)
