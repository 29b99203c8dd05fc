"""What happens when memory runs out: which errors mean that, and the paragraph that a person reads when no smaller pass helps.

The smaller micro-batch itself is trainer.py's, which knows the step. Used by trainer.py and work.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from distil.errors import WorkFailed

ADVICE = (
    "Lower train.micro_batch_tokens, set train.gradient_checkpointing: true or student.adapter: lora, choose a smaller student "
    "or teacher, and run again: the last whole checkpoint is kept."
)


class Shortage(Exception):
    """Memory ran out in a step that every process can repeat with smaller passes. Never leaves trainer.py."""


def ran_out(error: BaseException) -> bool:
    """Whether an error says that memory is exhausted, on a GPU or on a CPU."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "not enough memory" in str(error)


@contextmanager
def memory_told(doing: str) -> Iterator[None]:
    """Turns memory that runs out outside the passes of a step into WorkFailed with what to do; other errors pass."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not ran_out(error):
            raise
        raise WorkFailed(f"Memory ran out while {doing}. {ADVICE}") from error
