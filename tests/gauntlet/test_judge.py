"""Public reports of judges whose thinking is read as their verdict, or whose bare letter is not read at all."""

from __future__ import annotations

import pytest

from distil.judging.reading import read


@pytest.mark.parametrize(
    ("reply", "slot"),
    [
        ('<think>{"better": "A"}</think>{"better": "B"}', "B"),
        ('Maybe {"better": "A"}...</think>\n{"better": "B", "reason": "names the order"}', "B"),
        ("A", "A"),
        ("**B**", "B"),
        ("[[A]]", "A"),
        ('```json\n{"better": "A"}\n```', "A"),
        ('First I thought {"better": "A"}, but {"better": "B"}', "B"),
        (
            '<|channel|>analysis<|message|>{"better": "A"}<|end|><|start|>assistant<|channel|>final<|message|>{"better": "B"}',
            "B",
        ),
    ],
)
def test_the_last_verdict_counts_and_thinking_does_not(reply: str, slot: str) -> None:
    """public-bugs 23: evalscope #1578 (the draft in the thinking was taken; a bare `A` was unreadable)."""
    found = read(reply)
    assert found is not None and found.slot == slot


@pytest.mark.parametrize("reply", ['<think>{"better": "A"}', "A cat sat on B.", ""])
def test_no_verdict_is_invented(reply: str) -> None:
    assert read(reply) is None
