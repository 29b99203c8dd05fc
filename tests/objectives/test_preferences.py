"""DPO's loss: values worked out by hand, and answers in chunks against plain log-probabilities."""

from __future__ import annotations

import math

import pytest
import torch

from distil.objectives.heads import OutputHead
from distil.objectives.preferences import answer_log_probs, preference_losses
from tests.objectives.builders import make_student


def test_losses_are_those_worked_out_by_hand() -> None:
    """Margins 1, 0 and -4 at beta 0.1 and 0.5: log(1 + exp(-beta * margin))."""
    better, worse = torch.tensor([-2.0, -7.0, -5.0]), torch.tensor([-3.0, -1.0, -2.0])
    better_before, worse_before = torch.tensor([-2.5, -7.0, -3.0]), torch.tensor([-2.5, -1.0, -4.0])
    found = preference_losses(better, worse, better_before, worse_before, 0.1)
    assert found.tolist() == pytest.approx([0.64439666, math.log(2), 0.91301525])
    found = preference_losses(better, worse, better_before, worse_before, 0.5)
    assert found.tolist() == pytest.approx([0.47407698, math.log(2), 2.12692801])


@pytest.mark.parametrize("chunk", [1, 2, None])
def test_answers_are_sums_of_their_tokens(chunk: int | None) -> None:
    """Values and gradients, whatever the chunk; the answers' ends are where they are said to be."""
    student, labels, lengths = (
        make_student(6, bias=True, scale=0.7, cap=5.0),
        torch.tensor([1, 0, 8, 3, 3, 2]),
        [2, 1, 3],
    )
    head = OutputHead(student.weight, student.bias, student.scale, student.cap)
    found = answer_log_probs(student.hidden, head, labels, lengths, chunk)
    tokens = torch.log_softmax(student.logits(), -1)[torch.arange(6), labels]
    expected = torch.stack([tokens[:2].sum(), tokens[2], tokens[3:].sum()])
    torch.testing.assert_close(found, expected)
    weights = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    ours, theirs = (torch.autograd.grad((side * weights).sum(), student.leaves) for side in (found, expected))
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other)
