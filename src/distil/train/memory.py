"""Which errors mean that memory ran out, and what to advise when no smaller pass helps. trainer.py makes passes smaller."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from distil.errors import WorkFailed

ADVICE = (
    "Lower train.micro_batch_tokens or set train.gradient_checkpointing: true, and run the command again: it continues from the "
    "last complete checkpoint, with the same result. If that is not enough, student.adapter: lora or a smaller student or "
    "teacher begins another training."
)


SAYINGS = (
    "not enough memory",
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "MPS backend out of memory",
)
"""Of errors without a type of their own: a CPU's allocator, the driver, and libraries that take memory beside torch's."""


class PassTooLarge(Exception):
    """Memory ran out in a step that every process can repeat with smaller passes. Never leaves trainer.py."""


def ran_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory is exhausted, on a GPU or on a CPU."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(said in str(error) for said in SAYINGS)


@contextmanager
def explain_out_of_memory(phase: str) -> Iterator[None]:
    """Turns running out of memory outside the passes of a step into WorkFailed with advice; other errors pass through."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not ran_out_of_memory(error):
            raise
        raise WorkFailed(f"Memory ran out while {phase}. {ADVICE}") from error
