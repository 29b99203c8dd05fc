"""What the buffers hold between two calls of the loss, and what they give back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from distil.objectives import chunks
from distil.objectives.chunks import Buffers, release_buffers
from tests.objectives.builders import fused, make_labels, make_student, make_targets

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def nothing_kept() -> Iterator[None]:
    release_buffers()
    yield
    release_buffers()


def held() -> dict[str, int]:
    """Elements by name, over all dtypes."""
    return {name: buffer.numel() for kept in chunks._KEPT.values() for name, buffer in kept.items()}


def test_the_next_call_finds_the_buffers_of_this_one() -> None:
    with Buffers.kept(torch.float32, CPU) as buffers:
        first = buffers.get("student", 4, 9).data_ptr()
    with Buffers.kept(torch.float32, CPU) as buffers:
        assert buffers.get("student", 3, 10).data_ptr() == first


def test_what_a_call_did_not_use_is_given_back_after_it() -> None:
    student, labels = make_student(), make_labels()
    fused(student, make_targets("mixture"), labels)
    assert {"student", "teacher0", "teacher1"} <= set(held())
    fused(student, make_targets("dense"), labels)
    assert "teacher0" in held() and "teacher1" not in held()
    fused(student, None, labels)
    assert "student" in held() and "teacher0" not in held()


def test_no_more_is_kept_than_a_chunks_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    student, labels = make_student(), make_labels()
    monkeypatch.setattr(chunks, "CHUNK_BYTES", 100)
    fused(student, make_targets("dense"), labels, chunk_tokens=4)
    assert not held()


def test_a_call_that_fails_keeps_nothing() -> None:
    with pytest.raises(ValueError, match="on purpose"), Buffers.kept(torch.float32, CPU) as buffers:
        buffers.get("student", 4, 9)
        raise ValueError("on purpose")
    assert not held()


def test_a_call_within_a_call_has_buffers_of_its_own() -> None:
    with Buffers.kept(torch.float32, CPU) as outer, Buffers.kept(torch.float32, CPU) as inner:
        assert outer.get("student", 4, 9).data_ptr() != inner.get("student", 4, 9).data_ptr()
