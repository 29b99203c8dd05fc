"""What a student learned from: one line of work/train/NAME/trained.jsonl for each prompt, written when its training starts.

The split may be drawn again, and files may be edited; what a student has seen stays known, so that it is never tested on it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Self

from distil.records import Example, Message, Prompt, Record
from distil.text import normalize


class Trained(Record):
    """One prompt that was trained on."""

    prompt_id: str
    """The prompt."""
    asked: list[str]
    """Keys of the conversations whose answers were learned: of the prompt, and of each earlier turn that was learned, too."""

    @classmethod
    def of(cls, example: Example) -> Self:
        """From a training example."""
        messages = example.messages
        learned = [i for i, turn in enumerate(messages) if turn.role == "assistant" and turn.weight != 0]
        return cls(prompt_id=example.prompt_id, asked=[asked_key(messages[:i]) for i in learned])

    @classmethod
    def of_prompt(cls, prompt: Prompt) -> Self:
        """From a prompt whose answer the student wrote itself."""
        return cls(prompt_id=prompt.id, asked=[asked_key(prompt.messages)])


def choosing(examples: Sequence[Example]) -> list[Example]:
    """The half of the validation examples that early stopping chooses the checkpoint by; the others stay unseen for calibration.

    A group is on one side as a whole. All of them where they are too few to be halved.
    """
    return [e for e in examples if _half(e.prompt_id if e.group is None else e.group)] or list(examples)


def _half(key: str) -> bool:
    return (
        hashlib.blake2b(f"chooses the checkpoint\0{key}".encode("utf-8", "surrogatepass"), digest_size=1).digest()[0]
        < 128
    )


def asked_key(messages: Sequence[Message]) -> str:
    """Equal for the same conversation, whatever case and blanks. The system turn counts: it may hold the document."""
    digest = hashlib.blake2b(digest_size=12)
    for turn in messages:
        digest.update(normalize(turn.text).encode("utf-8", "surrogatepass") + b"\0")
    return digest.hexdigest()
