"""Examples as token ids with labels: rendering, and every check that can be made before the first step.

Not batches (batches.py). An example that does not fit is an error at the start, never a cut answer: a cut answer teaches the
student to stop in the middle.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from distil.errors import UserError
from distil.models.chat_template import chat_template
from distil.models.render import render_prompt, render_rows, row_id, row_messages
from distil.objectives.targets import IGNORED
from distil.progress import track
from distil.records import Example, Message
from distil.runs.jsonl import read_examples
from distil.runs.schemas.trained import choosing

LEAST_TAUGHT = 0.1
"""Share of the answers that must teach the mode in which the student is asked: half of what a mix keeps by default."""


@dataclass(frozen=True)
class Tokenized:
    """One example as the student sees it."""

    id: str
    """The example's id: the key of its cached signal."""
    input_ids: list[int]
    """The whole conversation."""
    labels: list[int]
    """Same length, by position (not shifted): the id where a token is learned, -100 elsewhere; the first is never learned."""
    prompt_length: int
    """Tokens before the last answer: the start of a rollout."""
    messages: Sequence[Message] = ()
    """The conversation, for a teacher with another tokenizer; answers of other rows have weight 0."""
    tools: list[dict[str, Any]] | None = None
    """The conversation's tool definitions."""
    prompt: str = ""
    """The same for the answers to one prompt; empty = there is none."""
    teacher_prompt: Sequence[int] | None = None
    """Token ids of the teacher's longer prompt, where `student.prompt` hides its instructions; None = both see the same."""

    rejected: Tokenized | None = None
    """dpo: the same prompt with a worse answer."""
    before: float = 0.0
    """dpo: log-probability of the answer under the student that the training starts from."""

    @property
    def size(self) -> int:
        """Tokens that share a forward pass: with those of the worse answer."""
        return len(self.input_ids) + (len(self.rejected.input_ids) if self.rejected is not None else 0)

    @property
    def for_teacher(self) -> Tokenized:
        """The same learned tokens after the teacher's own prompt."""
        if self.teacher_prompt is None:
            return self
        asked, answer = list(self.teacher_prompt), slice(self.prompt_length, None)
        labels = [IGNORED] * len(asked) + self.labels[answer]
        return replace(
            self, input_ids=asked + self.input_ids[answer], labels=labels, prompt_length=len(asked), teacher_prompt=None
        )

    @property
    def learned(self) -> int:
        """How many tokens are learned."""
        return sum(label != IGNORED for label in self.labels)


def load_examples(
    path: Path, target: str = "teacher", limit: int | None = None, *, to_choose: bool = False
) -> list[Example]:
    """Examples of a split file; target `reference` replaces each answer by its prompt's reference. UserError if none is left.

    to_choose: only the validation examples by which early stopping chooses the checkpoint.
    """
    examples = list(read_examples(path))
    examples = (choosing(examples) if to_choose else examples)[:limit]
    if target == "reference":
        examples = [_with_reference(e) for e in examples if e.reference is not None]
        if not examples:
            raise UserError(
                f"train.target is reference, but no example in {path} has a reference. Give the prompts a `reference`, or set "
                "train.target: teacher."
            )
    if not examples:
        raise UserError(
            f"{path} contains no examples, so there is nothing to learn from. Run `distil curate` to see what it dropped."
        )
    return examples


def _with_reference(example: Example) -> Example:
    answer = Message(role="assistant", content=example.reference)
    return example.model_copy(update={"messages": [*example.messages[:-1], answer], "answer_id": None})


def tokenize(
    tokenizer: PreTrainedTokenizerBase,
    examples: Iterable[Example],
    *,
    max_length: int | None,
    too_long: str = "error",
    label: str = "tokens",
    one_answer: bool = False,
    with_teacher: bool = False,
) -> tuple[list[Tokenized], int]:
    """Renders examples. Returns their rows and the number of rows that were dropped for their length.

    An example has one row, under its own id; more where its template shows earlier answers differently later on, or with
    `one_answer`: then each earlier answer has its own, under `row_id`. with_teacher: where the student's prompt is baked in, the
    teacher's is rendered, too, and each answer has its own row.

    Raises UserError for an example whose answer can't be located, and one UserError with counts when examples are longer than
    `max_length` and `too_long` is "error".
    """
    examples = list(examples)
    two_prompts = with_teacher and chat_template(tokenizer).prompt is not None
    one_answer = one_answer or two_prompts
    tokenized, dropped_lengths = [], []
    for example in track(examples, f"Rendering {label}", unit="examples"):
        try:
            rows = render_rows(tokenizer, example.messages, tools=example.tools, one_answer=one_answer)
        except UserError as error:
            raise UserError(f"Example {example.id} (prompt {example.prompt_id}): {error}") from None
        for number, row in enumerate(reversed(rows)):
            if max_length is not None and len(row.ids) > max_length:
                dropped_lengths.append(len(row.ids))
                continue
            labels = [IGNORED, *row.rendered.labels[1:]]  # no token precedes the first one to predict it
            messages = row_messages(example.messages, row)
            id_ = row_id(example.id, number)
            prompt = row_id(example.prompt_id, number)
            asked = None
            if two_prompts:
                thinks = bool(messages[-1].reasoning_content)
                asked = render_prompt(tokenizer, messages[:-1], tools=example.tools, for_teacher=True, thinks=thinks)
            tokenized.append(Tokenized(id_, row.ids, labels, row.prompt_length, messages, example.tools, prompt, asked))
    if dropped_lengths and (too_long == "error" or not tokenized):
        remedy = " (dropping them leaves none)" if too_long == "drop" else ", or set train.too_long: drop"
        raise UserError(
            f"{len(dropped_lengths):,} of {len(examples):,} {label} are longer than {max_length:,} tokens (the longest: "
            f"{max(dropped_lengths):,}), and an answer is never cut. Raise train.max_length (up to the model's context), "
            f"shorten the prompts{remedy}."
        )
    return tokenized, len(dropped_lengths)


def require_taught_mode(tokenizer: PreTrainedTokenizerBase, examples: Sequence[Example]) -> None:
    """Raises UserError where the student is asked to think and hardly an answer has thinking, or the other way round.

    Each answer is learned in its own mode, with its own prompt, so the other mode would be asked and never learned.
    """
    asked = chat_template(tokenizer).thinking
    thinking = sum(bool(example.messages[-1].reasoning_content) for example in examples)
    taught = thinking if asked else len(examples) - thinking
    if taught >= LEAST_TAUGHT * len(examples):
        return
    if asked:
        raise UserError(
            f"The student is asked with thinking on, but only {thinking:,} of {len(examples):,} answers have reasoning, so it "
            "would not learn to think. Set student.template_args: {enable_thinking: false}, or curate.reasoning: full (short, "
            "mix) for a teacher that shows its reasoning."
        )
    raise UserError(
        "The answers carry reasoning, but the student is asked with thinking off. "
        f"{thinking:,} of {len(examples):,} do. Set student.template_args: {{enable_thinking: true}} to train on it, or "
        "curate.reasoning: drop."
    )


def require_known_ids(examples: Iterable[Tokenized], rows: int, tokens: int) -> None:
    """Raises UserError if an example has an id without an embedding row. rows: of the embedding; tokens: of the tokenizer."""
    highest = max((max(example.input_ids) for example in examples), default=0)
    if highest >= rows:
        raise UserError(
            f"The tokenizer gives the examples ids up to {highest:,} (it has {tokens:,} tokens), but the student's embedding has "
            f"only {rows:,} rows, so the two do not match. Use the tokenizer that came with the model, or enlarge the model with "
            "resize_token_embeddings and save both in one folder."
        )


def taught_ends(examples: Iterable[Tokenized]) -> list[int]:
    """The last learned token of every example: where the student learns to stop. Usually one id."""
    return sorted({next(label for label in reversed(e.labels) if label != IGNORED) for e in examples if e.learned})


def marked_text(tokenizer: PreTrainedTokenizerBase, example: Tokenized) -> str:
    """The example as text with the learned parts in 【】, for a person to check before training."""
    parts = []
    for learned, pairs in groupby(zip(example.input_ids, example.labels, strict=True), lambda pair: pair[1] != IGNORED):
        text = str(tokenizer.decode([token for token, _ in pairs]))
        parts.append(f"【{text}】" if learned else text)
    return "".join(parts)
