"""What a generated text says, in OpenAI's shape: the answer, its thinking and its tool calls apart.

Evaluation, serving and a local teacher read a model's text here, so that none of them sees another answer than the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from distil.errors import UserError
from distil.models.chat_template import chat_template
from distil.models.render import render_prompt, special_tokens
from distil.models.template import Turn
from distil.models.tool_format import read_answer, without_controls
from distil.thinking import Parted, opens_thinking, part

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from distil.models.generate import Generation

THINKING_CONTROLS = frozenset({"<|channel|>", "[/THINK]", "</think>", "<|END_THINKING|>", "</seed:think>"})
"""Marks of thinking that are control tokens in some tokenizers, and then not in a generation's text."""
TAIL = 24
"""Tokens at a prompt's end that say whether it ends inside of thinking."""


class ModelAnswer(NamedTuple):
    """An answer in its parts."""

    text: str
    """What is meant for the reader, without thinking and calls."""
    reasoning: str | None
    """The thinking, without its marks."""
    tool_calls: list[Turn] | None
    """OpenAI's tool_calls; None where there are none."""
    finish_reason: str
    """stop | length | tool_calls."""
    reasoning_tokens: int = 0
    """Of the thinking."""


def model_answer(
    tokenizer: PreTrainedTokenizerBase,
    generation: Generation,
    tools: Sequence[Turn] | None,
    *,
    in_thinking: bool = False,
) -> ModelAnswer:
    """The parts of a generation. Calls are looked for where the prompt had tools; a text that was cut off has none.

    in_thinking: the prompt ends inside of thinking (`ends_in_thinking`).
    """
    if tools and generation.finish_reason != "length":
        read = read_answer(tokenizer, generation.token_ids, tools)
        if read.tool_calls:
            before = part(read.text, opened=in_thinking)
            return _answer(tokenizer, before, read.tool_calls, "tool_calls")
    answer = part(generation.text, opened=in_thinking)
    if hides_thinking(tokenizer):  # the text is without its marks
        whole = part(str(tokenizer.decode(generation.token_ids)), opened=in_thinking)
        if whole.thinking is not None:
            answer = Parted(*(without_controls(tokenizer, text or "") for text in whole))
    return _answer(tokenizer, answer, None, generation.finish_reason)


def _answer(
    tokenizer: PreTrainedTokenizerBase, parted: Parted, calls: list[Turn] | None, finish_reason: str
) -> ModelAnswer:
    thought = parted.thinking or None
    tokens = len(tokenizer(thought, add_special_tokens=False)["input_ids"]) if thought else 0
    return ModelAnswer(parted.text, thought, calls, finish_reason, tokens)


def hides_thinking(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether marks of thinking are control tokens, so that a generation's text does not say where the thinking ends."""
    return not THINKING_CONTROLS.isdisjoint(special_tokens(tokenizer))


def ends_in_thinking(tokenizer: PreTrainedTokenizerBase, prompt: Sequence[int]) -> bool:
    """Whether a prompt ends inside of thinking, which its template has opened."""
    return opens_thinking(str(tokenizer.decode(list(prompt[-TAIL:]))))


def may_think(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether a model that is asked by this tokenizer's template may think before it answers."""
    if chat_template(tokenizer).thinking:
        return True
    try:
        return ends_in_thinking(tokenizer, render_prompt(tokenizer, [{"role": "user", "content": "Hello"}]))
    except UserError:  # said when a real conversation is rendered
        return False
