"""Texts that the student writes itself, for on-policy distillation (GKD, Agarwal et al. 2024): lambda is the share of them.

Learning from one's own texts shows the teacher the mistakes that the student really makes. Which examples are rolled out is a
function of (seed, step, example), so that a resume repeats it. Not the loss: a rollout goes through the same divergence as a
fixed answer, without cross-entropy. Made by work.py, called by trainer.py once a step.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

from distil.models.generate import generate
from distil.models.load import Loaded, context_length
from distil.models.render import render_prompt
from distil.records import Answer, Message, Prompt, Sampling
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_examples, read_records
from distil.text import prompt_key
from distil.train.examples import IGNORED, Tokenized

Writer = Callable[[list[list[int]], Sampling, int], list[list[int]]]
"""(prompts, sampling, seed) -> token ids that continue each prompt."""
Decoder = Callable[[list[int]], str]
"""Token ids of an answer -> its text without control tokens."""


class Rollouts:
    """Splits the examples of a step into fixed ones and ones whose answer the student writes now."""

    def __init__(
        self,
        write: Writer,
        *,
        share: float,
        sampling: Sampling,
        context: int | None,
        seed: int,
        decode: Decoder | None = None,
    ) -> None:
        """decode: puts what was written into the conversation, for a teacher that reads with another tokenizer."""
        self.write, self.share, self.sampling = write, share, sampling
        self.context, self.seed, self.decode = context, seed, decode

    def __call__(self, examples: Sequence[Tokenized], step: int) -> tuple[list[Tokenized], list[Tokenized]]:
        """(fixed, written by the student); an empty text leaves its example fixed, or out where it has no answer."""
        chosen = [e for e in examples if self._writes(e, step) and self._has_room(e)]
        if not chosen:
            return [e for e in examples if e.learned], []
        prompts = [e.input_ids[: e.prompt_length] for e in chosen]
        texts = self.write(prompts, self.sampling, self._seed(step, chosen[0].id))
        written = [_rollout(e, text, self.decode) for e, text in zip(chosen, texts, strict=True) if text]
        done = {example.id for example in written}
        return [e for e in examples if e.learned and e.id not in done], written

    def _writes(self, example: Tokenized, step: int) -> bool:
        return not example.learned or self._draw(step, example.id) < self.share

    def _has_room(self, example: Tokenized) -> bool:
        return self.context is None or example.prompt_length < self.context

    def _seed(self, step: int, example_id: str) -> int:
        digest = hashlib.blake2b(f"{self.seed}/{step}/{example_id}".encode(), digest_size=7).digest()
        return int.from_bytes(digest, "big")

    def _draw(self, step: int, example_id: str) -> float:
        return self._seed(step, example_id) / (1 << 56)


def unanswered(project: Project, tokenizer: Any, max_length: int | None) -> list[Tokenized]:
    """Prompts of the project without an answer, as examples that teach nothing until the student has written theirs.

    Left out: what a teacher has answered (also what curate dropped), prompts of the user's own test and validation side, those
    of a group or with a text that lies there after curate, and those that leave no room for an answer. Not compared by
    similarity as curate does: a prompt that is only nearly a test prompt stays in.
    """
    answered = {row.prompt_id for row in read_records(project.answers, Answer)} if project.answers.exists() else set()
    held_out = [
        e for side in ("test", "validation") if project.split(side).exists() for e in read_examples(project.split(side))
    ]
    groups = {e.group for e in held_out if e.group is not None}
    texts = {prompt_key(e.prompt_messages) for e in held_out}
    found = []
    for prompt in read_records(project.prompts, Prompt):
        own = (
            prompt.split in (None, "train") and prompt.group not in groups and prompt_key(prompt.messages) not in texts
        )
        if prompt.id in answered or not own:
            continue
        ids = render_prompt(tokenizer, prompt.messages, tools=prompt.tools)
        if max_length is None or len(ids) < max_length:
            found.append(Tokenized(prompt.id, ids, [IGNORED] * len(ids), len(ids), tuple(prompt.messages)))
    return found


def _rollout(example: Tokenized, text: list[int], decode: Decoder | None) -> Tokenized:
    prompt = example.input_ids[: example.prompt_length]
    messages = example.messages[:-1] if example.learned else example.messages
    if decode is not None:  # earlier answers are context: nothing of them is learned from a rollout
        before = [m.model_copy(update={"weight": 0}) if m.role == "assistant" else m for m in messages]
        messages = (*before, Message(role="assistant", content=decode(text)))
    return Tokenized(example.id, prompt + text, [IGNORED] * len(prompt) + text, len(prompt), messages)


def in_process(model: Any, tokenizer: Any, device: Any, batch_size: int = 64) -> Writer:
    """Generates with the weights that are being trained."""
    loaded = Loaded(model, tokenizer, "the student", device)

    def write(prompts: list[list[int]], sampling: Sampling, seed: int) -> list[list[int]]:
        answers = generate(loaded, prompts, sampling, batch_size=batch_size, seed=seed)
        return [answer.token_ids for answer in answers]

    return write


def room(model: Any, longest_answer: int, asked: int | None) -> int:
    """Most tokens of a rollout: what was asked for, else the longest training answer; never more than the context."""
    limit = context_length(model)
    wanted = asked if asked is not None else longest_answer
    return wanted if limit is None else min(wanted, limit)
