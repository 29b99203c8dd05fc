"""The diagnostic metrics of student and teacher."""

from __future__ import annotations

import pytest
import torch

from distil.objectives import LogitTargets, MixtureTargets, SampledTargets, TopKTargets
from distil.objectives.heads import OutputHead
from distil.train.objective import diagnose


def test_agreement_is_measured_for_every_kind_of_targets() -> None:
    weight = torch.eye(5) * 9.0
    head = OutputHead(weight)
    rows, labels = torch.eye(5)[[2, 3]], torch.tensor([0, 0])  # the student says 2, then 3
    teacher = torch.zeros(2, 5).index_fill(1, torch.tensor([2]), 6.0)  # the teacher says 2 twice
    ids, scores = torch.tensor([[4, 2, -1], [2, 1, -1]]), torch.tensor([[0.1, 0.9, 9.0], [0.7, 0.3, 9.0]])
    forms = [
        LogitTargets(teacher),
        MixtureTargets((LogitTargets(teacher), LogitTargets(torch.zeros(2, 5))), (2.0, 1.0)),
        TopKTargets(ids, scores.log(), torch.tensor([-9.0, -9.0])),
        SampledTargets(ids, scores),
    ]
    found = [diagnose(rows, head, labels, form) for form in forms]
    assert [float(one["agreement"]) for one in found] == [1.0] * 4 and float(found[0]["sampled"]) == 2
    p, q = torch.log_softmax(teacher, -1), torch.log_softmax(rows @ weight.T, -1)
    assert float(found[0]["kl"]) == pytest.approx(float((p.exp() * (p - q)).sum()), rel=1e-5)
    assert "kl" in found[1] and "kl" not in found[2] and "kl" not in found[3]
    assert float(diagnose(rows, head, labels, None)["agreement"]) == 0
