"""The only place where messages become tokens: chat template -> (token ids, answer mask).

The answer mask is true on every token that the assistant produces, its end-of-turn token included, so that a student learns to
stop. Where the template has `{% generation %}` markers they decide; elsewhere an answer is what the template adds to the text
with the generation prompt. When neither locates the answer it is a loud error, never a silent guess.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, cast
from weakref import WeakKeyDictionary

from distil.errors import UserError
from distil.models.template import Turn, apply, prepared, template_errors
from distil.records import Message

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

MARKER = re.compile(r"\{%-?\s*generation\s*-?%\}")
Chat = Sequence[Message | Turn]
Spans = list[tuple[int, int]]


class Rendered(NamedTuple):
    """One conversation as the model sees it."""

    input_ids: list[int]
    """Token ids of the whole conversation."""
    answer_mask: list[bool]
    """Same length: true where the token is the assistant's and is learned."""

    @property
    def labels(self) -> list[int]:
        """The ids where they are learned, -100 elsewhere; not shifted (objectives.next_token_rows shifts)."""
        return [token if learned else -100 for token, learned in zip(self.input_ids, self.answer_mask, strict=True)]


def render(
    tokenizer: PreTrainedTokenizerBase,
    messages: Chat,
    *,
    tools: list[Turn] | None = None,
    max_length: int | None = None,
) -> Rendered:
    """Tokens of a conversation that ends with an assistant turn, and which of them are learned.

    Assistant turns with `weight: 0` are context only. Raises UserError when the last turn isn't the assistant's, when the
    answer can't be located, or when the conversation is longer than `max_length` tokens.
    """
    chat, weights = _plain(messages)
    if not chat or chat[-1]["role"] != "assistant":
        raise UserError("A conversation to learn from must end with an assistant turn (the answer); this one does not.")
    if MARKER.search(prepared(tokenizer)):
        text, spans = _marked(tokenizer, chat, tools)
    else:
        text, spans = _by_prefix(tokenizer, chat, tools)
    if len(spans) != len(weights):
        raise UserError(
            f"The chat template shows {len(spans)} assistant turns where the conversation has {len(weights)}: the answers "
            "can't be located. Give the tokenizer a template with {% generation %} markers around the assistant's text."
        )
    _check_kept(text[slice(*spans[-1])], chat[-1].get("content"))
    rendered = _tokens(tokenizer, text, [s for s, weight in zip(spans, weights, strict=True) if weight])
    if max_length is not None and len(rendered.input_ids) > max_length:
        raise UserError(f"A conversation has {len(rendered.input_ids)} tokens, more than the {max_length} allowed.")
    return rendered


def _check_kept(shown: str, answer: object) -> None:
    """The text must contain the last answer unchanged, except for spaces and line breaks, which templates trim."""
    wanted = str(answer or "")
    if "".join(wanted.split()) not in "".join(shown.split()):
        raise UserError(
            f"The chat template changes the answer: it shows {_short(shown)}, and the answer is {_short(wanted)}. The student "
            "would learn another text than the teacher's. Give the tokenizer a template that shows the assistant's content as it "
            "is (some drop reasoning in <think> tags: leave that out of the answers, or use a template that keeps it)."
        )


def _short(text: str) -> str:
    return repr(text if len(text) <= 80 else f"{text[:50]} ... {text[-25:]}")


def render_prompt(tokenizer: PreTrainedTokenizerBase, messages: Chat, *, tools: list[Turn] | None = None) -> list[int]:
    """Token ids of a conversation up to the start of the answer (with the generation prompt)."""
    chat, _ = _plain(messages)
    text = _apply(tokenizer, chat, tools, generation_prompt=True)
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def _plain(messages: Chat) -> tuple[list[Turn], list[int]]:
    """Messages as a template takes them, and the weight of each assistant turn."""
    chat, weights = [], []
    for message in messages:
        turn = message.to_wire() if isinstance(message, Message) else dict(message)
        weight = turn.pop("weight", None)
        if turn["role"] == "assistant":
            weights.append(1 if weight is None else weight)
            if turn.get("tool_calls"):
                turn["tool_calls"] = [_call_with_object(call) for call in turn["tool_calls"]]
        if isinstance(turn.get("content"), list):
            turn["content"] = "".join(str(part.get("text", "")) for part in turn["content"])
        chat.append(turn)
    return chat, weights


def _call_with_object(call: Turn) -> Turn:
    """OpenAI sends a call's arguments as JSON text; templates expect the object."""
    function = dict(call.get("function") or {})
    if isinstance(function.get("arguments"), str):
        try:
            function["arguments"] = json.loads(function["arguments"])
        except json.JSONDecodeError:
            return call
    return {**call, "function": function}


def _apply(
    tokenizer: PreTrainedTokenizerBase, chat: list[Turn], tools: list[Turn] | None, *, generation_prompt: bool
) -> str:
    return apply(prepared(tokenizer), tokenizer.special_tokens_map, chat, tools, generation_prompt=generation_prompt)


def _marked(tokenizer: PreTrainedTokenizerBase, chat: list[Turn], tools: list[Turn] | None) -> tuple[str, Spans]:
    from transformers.utils.chat_template_utils import render_jinja_template

    with template_errors(chat):
        pair: tuple[Any, Any] = cast("Any", render_jinja_template)(
            conversations=[chat],
            tools=tools,
            chat_template=prepared(tokenizer),
            return_assistant_tokens_mask=True,
            add_generation_prompt=False,
            **tokenizer.special_tokens_map,
        )
    texts, indices = pair
    return str(texts[0]), [(int(start), int(end)) for start, end in indices[0]]


def _by_prefix(tokenizer: PreTrainedTokenizerBase, chat: list[Turn], tools: list[Turn] | None) -> tuple[str, Spans]:
    """The answer of turn i is what the template adds to `messages before i + generation prompt`."""
    text = _apply(tokenizer, chat, tools, generation_prompt=False)
    spans: Spans = []
    for index, turn in enumerate(chat):
        if turn["role"] != "assistant":
            continue
        before = _apply(tokenizer, chat[:index], tools, generation_prompt=True)
        upto = text if index == len(chat) - 1 else _apply(tokenizer, chat[: index + 1], tools, generation_prompt=False)
        if not text.startswith(before) or not text.startswith(upto) or len(upto) <= len(before):
            raise UserError(
                f"The answer in turn {index + 1} of {len(chat)} can't be located: the chat template renders the conversation "
                "before it differently once the answer follows (some templates drop earlier reasoning). Give the tokenizer a "
                "template with {% generation %} markers, or keep only the last answer of each conversation."
            )
        spans.append((len(before), len(upto)))
    return text, spans


_SPECIAL: WeakKeyDictionary[PreTrainedTokenizerBase, frozenset[int]] = (
    WeakKeyDictionary()
)  # asking a tokenizer costs more than rendering


def special_ids(tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """Ids of all control tokens of a tokenizer: they can end a turn and are never part of the text."""
    if tokenizer not in _SPECIAL:
        marked = [i for i, token in tokenizer.added_tokens_decoder.items() if token.special]
        _SPECIAL[tokenizer] = frozenset([*marked, *tokenizer.all_special_ids])
    return _SPECIAL[tokenizer]


def _tokens(tokenizer: PreTrainedTokenizerBase, text: str, spans: Spans) -> Rendered:
    """Tokens of the text, marked inside the spans; each span is cut after, or grown by, its end-of-turn token."""
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=tokenizer.is_fast)
    ids = list(encoded["input_ids"])
    borders = _borders(text, encoded["offset_mapping"], spans) if tokenizer.is_fast else None
    if borders is None:
        ids, borders = _piecewise(tokenizer, text, spans)
    mask = [False] * len(ids)
    ends = special_ids(tokenizer)
    for number, (start, stop) in enumerate(borders):
        last = next((i for i in range(stop - 1, start - 1, -1) if ids[i] in ends), None)
        if last is not None:
            stop = last + 1  # what the template writes after the end of a turn is never generated
        elif stop < len(ids) and ids[stop] in ends:
            stop += 1
        elif number == len(borders) - 1 and stop == len(ids):
            ids.append(int(tokenizer.eos_token_id))
            mask.append(False)
            stop += 1
        if stop <= start:
            raise UserError("An answer is empty once rendered by the chat template: there is nothing to learn from it.")
        mask[start:stop] = [True] * (stop - start)
    return Rendered(ids, mask)


def _borders(text: str, offsets: list[tuple[int, int]], spans: Spans) -> list[tuple[int, int]] | None:
    """Token ranges of character spans, or None when a token lies across the start of an answer (it would differ when asked)."""
    starts = [offset[0] for offset in offsets]
    borders = []
    for begin, end in spans:
        first = bisect_left(starts, begin)
        if first < len(starts) and text[begin : starts[first]].strip():
            return None
        if first > 0 and offsets[first - 1][1] > begin:
            return None
        borders.append((first, bisect_left(starts, end)))
    return borders


def _piecewise(tokenizer: PreTrainedTokenizerBase, text: str, spans: Spans) -> tuple[list[int], list[tuple[int, int]]]:
    """Context and answers tokenized apart, as they are when a model is asked and answers."""
    ids: list[int] = []
    borders = []
    position = 0
    for begin, end in spans:
        ids += tokenizer(text[position:begin], add_special_tokens=False)["input_ids"]
        first = len(ids)
        ids += tokenizer(text[begin:end], add_special_tokens=False)["input_ids"]
        borders.append((first, len(ids)))
        position = end
    ids += tokenizer(text[position:], add_special_tokens=False)["input_ids"]
    return ids, borders
