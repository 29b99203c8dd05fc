"""What one chat template can show, found by rendering short probes: system texts, tool definitions, calls, how an answer ends.

Names in a template's source say little; what it prints of a probe says all. Not the preparation of its text (template.py).
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Sequence
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, NamedTuple

from distil.errors import UserError
from distil.models.student_prompt import baked_prompt, without_block
from distil.models.template import (
    Turn,
    apply,
    has_thinking_on,
    marked_spans,
    prepared,
    shows_thinking,
    special_texts,
    thinking_argument,
    with_thinking,
)

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

PROBE_NAME = "distil_probe"
PROBE_ID = "probe0001"
PROBE_ARGUMENTS = {"alpha": "amber", "beta": 7}
PROBE_TOOL: Turn = {
    "type": "function",
    "function": {
        "name": PROBE_NAME,
        "description": "A probe.",
        "parameters": {
            "type": "object",
            "properties": {
                "alpha": {"type": "string", "description": "First."},
                "beta": {"type": "integer", "description": "Second."},
            },
            "required": ["alpha"],
        },
    },
}
USER: Turn = {"role": "user", "content": "Hello"}
PROBE_TEXT = "Zq7probe7qZ"
_SHORT_IDS = re.compile(r"length\s*!=\s*9")


class CallShape(NamedTuple):
    """How a template wants an assistant turn with tool calls."""

    content: str | None
    """What stands for no text."""
    arguments_as_text: bool
    """Arguments as JSON text, not as an object."""
    rendered: str
    """What the template adds for the probe call, generation prompt excluded."""


class ChatTemplate:
    """A prepared template with a tokenizer's special tokens."""

    def __init__(self, text: str, special: dict[str, object]) -> None:
        self.text, self.special = text, special

    def ask(self, chat: Sequence[Turn], tools: Sequence[Turn] | None = None) -> str:
        """The text that a model is asked with. Raises UserError for whatever the template raises."""
        return apply(self.text, self.special, self._shaped(chat), tools, generation_prompt=True)

    def whole(self, chat: Sequence[Turn], tools: Sequence[Turn] | None = None) -> str:
        """The text of the conversation alone. Raises UserError for whatever the template raises."""
        return apply(self.text, self.special, self._shaped(chat), tools, generation_prompt=False)

    def marked(self, chat: Sequence[Turn], tools: Sequence[Turn] | None = None) -> list[str]:
        """The texts between `{% generation %}` marks; empty for a template without them."""
        return marked_spans(self.text, self.special, self._shaped(chat), tools)

    @property
    def thinking(self) -> bool:
        """Whether the model is asked to think first."""
        return has_thinking_on(self.text)

    @cached_property
    def shows_thinking(self) -> bool:
        """Whether the thinking of the last answer has a place of its own in the text; else the answer begins with it."""
        return shows_thinking(self.text, self.special)

    def with_thinking(self, *, on: bool) -> ChatTemplate:
        """This template as it asks when the model is to think first, or not to."""
        if on == self.thinking or (not on and thinking_argument(self.text) is None):
            return self  # a template as it was published decides itself
        return _kept(with_thinking(self.text, self.special, on=on), tuple(sorted(self.special.items())))

    @property
    def prompt(self) -> str | None:
        """What is shown in place of the instructions; "" = nothing, None = the instructions themselves."""
        return baked_prompt(self.text)

    @cached_property
    def tail(self) -> str:
        """What follows an answer's text at the end of a conversation."""
        whole = self._try([USER, {"role": "assistant", "content": PROBE_TEXT}])
        return whole.rpartition(PROBE_TEXT)[2] if whole else ""

    @cached_property
    def inner_tail(self) -> str:
        """What follows an answer's text where another turn follows."""
        whole = self._try([USER, {"role": "assistant", "content": PROBE_TEXT}, USER])
        return whole.rpartition(PROBE_TEXT)[2] if whole else ""

    @cached_property
    def generation_prompt(self) -> str:
        """What is added to a conversation to ask for an answer; "" where that is nothing or can't be told apart."""
        asked, whole = self._try([USER], asks=True), self._try([USER])
        return asked[len(whole) :] if whole and asked.startswith(whole) else ""

    @cached_property
    def takes_system(self) -> bool:
        """Whether a system turn is shown, where nothing replaces it."""
        plain = ChatTemplate(without_block(self.text), self.special)
        return PROBE_TEXT in plain._try([{"role": "system", "content": PROBE_TEXT}, USER], asks=True)

    @cached_property
    def takes_developer(self) -> bool:
        """Whether the template knows the role `developer` (printing any role's name is not knowing it)."""
        return "developer" in self.text and PROBE_TEXT in self._try(
            [{"role": "developer", "content": PROBE_TEXT}, USER], asks=True
        )

    @cached_property
    def wants_parts(self) -> bool:
        """Whether texts must come as lists of parts (models that also see images)."""
        chat: list[Turn] = [{"role": "user", "content": PROBE_TEXT}]
        return PROBE_TEXT not in self._asked(chat) and PROBE_TEXT in self._asked(in_parts(chat))

    @property
    def short_ids(self) -> bool:
        """Whether a call's id must have nine letters and digits (Mistral)."""
        return bool(_SHORT_IDS.search(self.text))

    @cached_property
    def shows_definitions(self) -> bool:
        """Whether tool definitions reach the prompt."""
        return PROBE_NAME in self._try([USER], [PROBE_TOOL], asks=True)

    @cached_property
    def call_shape(self) -> CallShape | None:
        """How a call is handed over so that it is shown; None where the template drops calls."""
        for tools in ([PROBE_TOOL], None):
            before = self._try([USER], tools)
            for as_text, content in itertools.product((False, True), (None, "")):
                arguments = json.dumps(PROBE_ARGUMENTS) if as_text else PROBE_ARGUMENTS
                function = {"name": PROBE_NAME, "arguments": arguments}
                call = {"id": PROBE_ID, "type": "function", "function": function}
                whole = self._try([USER, {"role": "assistant", "content": content, "tool_calls": [call]}], tools)
                added = whole[len(before) :] if whole.startswith(before) else whole[len(_common(before, whole)) :]
                if _shown(added):
                    return CallShape(content, as_text, added)
        return None

    def _shaped(self, chat: Sequence[Turn]) -> Sequence[Turn]:
        return in_parts(chat) if self.wants_parts else chat

    def _asked(self, chat: Sequence[Turn]) -> str:
        try:
            return apply(self.text, self.special, chat, None, generation_prompt=True)
        except UserError:
            return ""

    def _try(self, chat: Sequence[Turn], tools: Sequence[Turn] | None = None, *, asks: bool = False) -> str:
        try:
            return self.ask(chat, tools) if asks else self.whole(chat, tools)
        except UserError:
            return ""


def in_parts(chat: Sequence[Turn]) -> list[Turn]:
    """The turns with their texts as OpenAI content parts."""
    return [
        {**turn, "content": [{"type": "text", "text": turn["content"]}]}
        if isinstance(turn.get("content"), str)
        else turn
        for turn in chat
    ]


def _shown(added: str) -> bool:
    """The probe's name and arguments, neither as Python prints them nor beside a stray None."""
    start = added.find(PROBE_NAME)
    spelled = {"'alpha': ", "{'", '\\"alpha\\"'}
    return start >= 0 and "amber" in added and "None" not in added and not any(s in added for s in spelled)


def _common(one: str, other: str) -> str:
    return "".join(a for a, _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def chat_template(tokenizer: PreTrainedTokenizerBase, *, for_teacher: bool = False) -> ChatTemplate:
    """The template that this tokenizer is used with; what was found of it is kept. for_teacher: with the whole prompt."""
    text = prepared(tokenizer)
    return _kept(without_block(text) if for_teacher else text, tuple(sorted(special_texts(tokenizer).items())))


@lru_cache(maxsize=64)
def _kept(text: str, special: tuple[tuple[str, object], ...]) -> ChatTemplate:
    return ChatTemplate(text, dict(special))
