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


def asked_key(messages: Sequence[Message]) -> str:
    """Equal for the same conversation, whatever case and blanks. The system turn counts: it may hold the document."""
    digest = hashlib.blake2b(digest_size=12)
    for turn in messages:
        digest.update(normalize(turn.text).encode("utf-8", "surrogatepass") + b"\0")
    return digest.hexdigest()
