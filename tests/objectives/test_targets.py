"""What each form of targets refuses, the label shift, and the measure of what two paddings leave out."""

from __future__ import annotations

import pytest
import torch

from distil.errors import UserError
from distil.objectives import (
    DIVERGENCES,
    DenseTargets,
    LogitTargets,
    MixtureTargets,
    SampledTargets,
    TopKTargets,
    next_token_labels,
    next_token_rows,
    teacher_mass_outside,
)
from tests.objectives.builders import fused, make_labels, make_student, make_targets, normal


@pytest.mark.parametrize("divergence", [name for name in DIVERGENCES if name != "forward_kl"])
def test_samples_serve_forward_kl_only(divergence: str) -> None:
    with pytest.raises(UserError, match="only forward_kl is unbiased"):
        fused(make_student(), make_targets("sampled"), make_labels(), divergence=divergence)


@pytest.mark.parametrize("kind", ["top_k", "sampled"])
def test_a_signal_of_another_temperature_is_refused(kind: str) -> None:
    with pytest.raises(UserError, match="Set temperature: 2"):
        fused(make_student(), make_targets(kind, temperature=2.0), make_labels(), temperature=1.0)


def test_a_signal_that_names_an_unknown_id_is_refused() -> None:
    targets = make_targets("top_k", vocabulary=40)
    assert isinstance(targets, TopKTargets)
    targets.ids[0, 0] = 39
    with pytest.raises(UserError, match="names token id 39"):
        fused(make_student(), targets, make_labels())


def test_shapes_that_do_not_match_are_refused() -> None:
    ids = torch.zeros(3, 2, dtype=torch.int64)
    with pytest.raises(ValueError, match="TopKTargets"):
        TopKTargets(ids, torch.zeros(3, 3), torch.zeros(3))
    with pytest.raises(ValueError, match="SampledTargets"):
        SampledTargets(ids, torch.zeros(3, 3))
    with pytest.raises(ValueError, match="targets speak about 4 rows"):
        fused(make_student(), make_targets("dense", rows=4), make_labels())
    with pytest.raises(ValueError, match="next_token_rows"):
        fused(make_student(), None, make_labels(rows=4))


@pytest.mark.parametrize("weights", [(1.0,), (1.0, 0.0)])
def test_a_mixture_needs_a_positive_weight_for_each_teacher(weights: tuple[float, ...]) -> None:
    teacher = LogitTargets(normal(2, 3, seed=1))
    with pytest.raises(UserError, match="positive"):
        MixtureTargets((teacher, teacher), weights)


def test_teachers_of_a_mixture_speak_about_the_same_rows() -> None:
    with pytest.raises(ValueError, match="disagree on rows"):
        MixtureTargets((LogitTargets(normal(2, 3, seed=1)), LogitTargets(normal(3, 3, seed=1))), (1.0, 1.0))


def test_the_logits_at_a_position_predict_the_next_token() -> None:
    hidden = normal(2, 4, 3, seed=1)
    labels = torch.tensor([[5, 6, 7, 8], [-100, -100, 3, 4]])
    rows, shifted = next_token_rows(hidden, labels)
    torch.testing.assert_close(rows, hidden.flatten(0, 1))
    assert shifted.tolist() == [6, 7, 8, -100, -100, 3, 4, -100]


def test_no_row_predicts_the_first_token_of_a_document() -> None:
    labels = torch.tensor([[1, 2, 3, 4, 5]])
    documents = torch.tensor([[0, 0, 1, 1, 1]])
    assert next_token_labels(labels, documents).tolist() == [[2, -100, 4, 5, -100]]


def test_every_learned_token_is_predicted_once() -> None:
    labels = torch.full((2, 9), -100)
    labels[0, 3:7], labels[1, 1:] = torch.arange(4), torch.arange(8)
    shifted = next_token_labels(labels)
    assert sorted(shifted[shifted >= 0].tolist()) == sorted([*range(4), *range(8)])


def test_shift_refuses_other_shapes() -> None:
    with pytest.raises(ValueError, match=r"\(B, T\)"):
        next_token_labels(torch.zeros(3, dtype=torch.int64))
    with pytest.raises(ValueError, match="do not match"):
        next_token_rows(normal(2, 4, 3, seed=1), torch.zeros(2, 5, dtype=torch.int64))


def test_mass_outside_the_common_ids_is_measured() -> None:
    logits = normal(5, 12, seed=1)
    expected = torch.softmax(logits, -1)[:, 9:].sum(-1)
    torch.testing.assert_close(teacher_mass_outside(LogitTargets(logits), 9).double(), expected, atol=1e-6, rtol=1e-5)
    dense = make_targets("dense", vocabulary=12)
    assert isinstance(dense, DenseTargets)
    both = MixtureTargets((dense, LogitTargets(logits)), (1.0, 1.0))
    mean = (teacher_mass_outside(dense, 9) + teacher_mass_outside(LogitTargets(logits), 9)) / 2
    torch.testing.assert_close(teacher_mass_outside(both, 9), mean)
    assert (teacher_mass_outside(dense, 12) == 0).all()
