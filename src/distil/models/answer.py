"""What a generated text says, in OpenAI's shape: the answer, its thinking and its tool calls apart.

Evaluation, serving and a local teacher read a model's text here, so that none of them sees another answer than the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from distil.models.template import Turn
from distil.models.tool_format import read_answer
from distil.thinking import part

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from distil.models.generate import Generation


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


def model_answer(
    tokenizer: PreTrainedTokenizerBase, generation: Generation, tools: Sequence[Turn] | None
) -> ModelAnswer:
    """The parts of a generation. Calls are looked for where the prompt had tools; a text that was cut off has none."""
    if tools and generation.finish_reason != "length":
        read = read_answer(tokenizer, generation.token_ids, tools)
        if read.tool_calls:
            before = part(read.text)
            return ModelAnswer(before.text, before.thinking, read.tool_calls, "tool_calls")
    answer = part(generation.text)
    return ModelAnswer(answer.text, answer.thinking, None, generation.finish_reason)
