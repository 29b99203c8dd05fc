"""Examples as token ids with labels: rendering, and every check that can be made before the first step.

Not batches (batches.py). An example that does not fit is an error at the start, never a cut answer: a cut answer teaches
to stop in the middle. Called by stage.py and by the worker processes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distil.errors import UserError
from distil.models.render import render
from distil.progress import track
from distil.records import Example, Message
from distil.runs.jsonl import read_examples

IGNORED = -100


@dataclass(frozen=True)
class Tokenized:
    """One example as the student sees it."""

    id: str
    """The example's id: the key of its cached signal."""
    input_ids: list[int]
    """The whole conversation."""
    labels: list[int]
    """Same length, by position (not shifted): the id where it is learned, -100 elsewhere; the first is never learned."""
    prompt_length: int
    """Tokens before the last answer: what a rollout starts from."""
    messages: Sequence[Message] = ()
    """The conversation, for a teacher with another tokenizer."""

    @property
    def learned(self) -> int:
        """How many tokens are learned."""
        return sum(label != IGNORED for label in self.labels)


def load_examples(path: Path, target: str = "teacher", limit: int | None = None) -> list[Example]:
    """Examples of a split file; target `reference` puts each prompt's reference in place of the answer. UserError
    when empty."""
    examples = list(read_examples(path))[:limit]
    if target == "reference":
        examples = [_with_reference(e) for e in examples if e.reference is not None]
        if not examples:
            raise UserError(
                f"train.target: reference, but no example in {path} has a reference. Give prompts a `reference`, or set "
                "train.target: teacher."
            )
    if not examples:
        raise UserError(
            f"{path} holds no example, so there is nothing to learn from. See `distil curate` for what it dropped."
        )
    return examples


def _with_reference(example: Example) -> Example:
    answer = Message(role="assistant", content=example.reference)
    return example.model_copy(update={"messages": [*example.messages[:-1], answer], "answer_id": None})


def tokenize(
    tokenizer: Any,
    examples: Iterable[Example],
    *,
    max_length: int | None,
    too_long: str = "error",
    label: str = "tokens",
) -> tuple[list[Tokenized], int]:
    """Renders examples and returns them with the number that was dropped for length.

    Raises UserError naming the example when an answer can't be located, and one UserError with counts when examples are longer
    than `max_length` and `too_long` is "error".
    """
    kept, lengths, total = [], [], 0
    for example in track(list(examples), f"Rendering {label}", unit="examples"):
        total += 1
        try:
            rendered = render(tokenizer, example.messages, tools=example.tools)
        except UserError as error:
            raise UserError(f"Example {example.id} (prompt {example.prompt_id}): {error}") from None
        if max_length is not None and len(rendered.input_ids) > max_length:
            lengths.append(len(rendered.input_ids))
            continue
        labels = [IGNORED, *rendered.labels[1:]]  # nothing comes before the first token that could predict it
        kept.append(Tokenized(example.id, rendered.input_ids, labels, _prompt_length(labels), tuple(example.messages)))
    if lengths and (too_long == "error" or not kept):
        rest = " (dropping them leaves none)" if too_long == "drop" else ", or set train.too_long: drop"
        raise UserError(
            f"{len(lengths):,} of {total:,} {label} are longer than {max_length:,} tokens (the longest: "
            f"{max(lengths):,}), and an answer is never cut. Raise train.max_length (up to the model's context), "
            f"shorten the prompts{rest}."
        )
    return kept, len(lengths)


def require_known_ids(examples: Iterable[Tokenized], rows: int, tokens: int) -> None:
    """rows: of the model's embedding; tokens: of its tokenizer. Raises UserError when an example has an id without a row."""
    highest = max((max(example.input_ids) for example in examples), default=0)
    if highest >= rows:
        raise UserError(
            f"The tokenizer gives the examples ids up to {highest:,} (it has {tokens:,} tokens), but the student's embedding has "
            f"only {rows:,} rows: the two do not belong together. Use the tokenizer that came with the model, or enlarge the "
            "model with resize_token_embeddings and save both in one folder."
        )


def _prompt_length(labels: Sequence[int]) -> int:
    """Where the last run of learned tokens starts."""
    end = len(labels)
    while end and labels[end - 1] == IGNORED:
        end -= 1
    while end and labels[end - 1] != IGNORED:
        end -= 1
    return end


def marked_text(tokenizer: Any, example: Tokenized) -> str:
    """The example as text with what is learned in 【】, for a person to check before a training."""
    parts, learning = [], False
    run: list[int] = []
    for token, label in zip([*example.input_ids, None], [*example.labels, None], strict=True):
        now = label is not None and label != IGNORED
        if run and (now != learning or token is None):
            text = tokenizer.decode(run)
            parts.append(f"【{text}】" if learning else text)
            run = []
        learning = now
        if token is not None:
            run.append(token)
    return "".join(parts)
