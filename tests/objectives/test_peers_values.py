"""What the peers' own tests state of their losses, tried on ours; and their losses on the same inputs, where they are installed.

Sources: TRL tests/experimental/test_gkd_trainer.py and test_distillation_trainer.py, Liger test/chunked_loss/test_jsd_loss.py,
torchtune tests/torchtune/modules/loss/test_kd_losses.py. Theirs are means over tokens, and none has T^2.
"""

from __future__ import annotations

import importlib.util
import math
import sys
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from distil.errors import UserError
from distil.objectives import DenseTargets, LogitTargets, fused_linear_distillation, top_k_targets
from tests.objectives.builders import make_labels, normal

ROWS, VOCABULARY = 11, 23
DIVERGENCES = [(0.0, "forward_kl"), (1.0, "reverse_kl"), (0.1, "jsd"), (0.5, "jsd")]
LIKELY, UNLIKELY = torch.log(torch.tensor([[0.9, 0.1]])), torch.log(torch.tensor([[0.1, 0.9]]))
STATED_STUDENT = torch.tensor(
    [
        [1.1250, -0.4102, -0.0879, -2.5000],
        [0.2676, 0.3535, 0.8711, -1.4688],
        [-0.1084, 1.6641, 0.0084, 0.1196],
        [0.5000, -0.6406, -0.2236, -1.5938],
        [-1.5312, -1.9219, 0.0000, -0.5039],
        [-1.5391, 1.5312, 0.5820, 0.2695],
        [-0.3887, 1.2188, 0.0000, 0.6055],
        [0.5000, 1.3828, 0.1309, -1.0312],
    ]
)
STATED_TEACHER = torch.tensor(
    [
        [-0.0381, -1.2578, -1.2031, 0.0947],
        [-0.7852, 0.4492, 1.5547, 0.0972],
        [0.8203, 0.0012, 0.7656, 0.3477],
        [-1.5781, 0.4297, 0.5977, 0.3926],
        [1.5156, 0.1641, 2.0781, -0.7734],
        [-0.5898, 0.4453, -0.7969, 0.6328],
        [0.6289, -0.8359, 0.9258, 0.2109],
        [0.0006, 0.5195, 3.2344, -1.5781],
    ]
)
"""The eight positions of torchtune's test_forward_kl_loss_expected."""


def module_of(name: str) -> Any:
    """A peer's module; skips the test where it is not installed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "experimental", and deprecations of what the peers import
        return pytest.importorskip(name, reason=f"{name.partition('.')[0]} is not installed in this environment")


def torchtune_losses() -> ModuleType:
    """torchtune's file of losses, alone: the package itself wants an old torchao."""
    found = importlib.util.find_spec("torchtune")
    if found is None or not found.submodule_search_locations:
        pytest.skip("torchtune is not installed in this environment")
    path = Path(found.submodule_search_locations[0], "modules", "loss", "kd_losses.py")
    spec = importlib.util.spec_from_file_location("torchtune_kd_losses", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def mean_of(student: Tensor, teacher: Tensor, labels: Tensor | None = None, **options: Any) -> Tensor:
    """Our divergence of these logits, as theirs is: a mean over counted positions, without T^2. The head is the identity."""
    student, teacher = student.reshape(-1, student.shape[-1]), teacher.reshape(-1, teacher.shape[-1])
    labels = torch.zeros(len(student), dtype=torch.long) if labels is None else labels.reshape(-1)
    weights = {"distill_weight": 1.0, "label_weight": 0.0}
    found = fused_linear_distillation(
        student, torch.eye(student.shape[-1], dtype=student.dtype), LogitTargets(teacher), labels, **weights, **options
    )
    return found.total / options.get("temperature", 1.0) ** 2 / max(found.count, 1)


def logits(seed: int) -> Tensor:
    return normal(ROWS, VOCABULARY, seed=seed, scale=2.0, dtype=torch.float32)


def test_torchtune_stated_forward_kl() -> None:
    """Its ForwardKLLoss is a cross-entropy: the KL and the teacher's entropy, which no gradient sees. It states 1.7209."""
    entropy = torch.distributions.Categorical(logits=STATED_TEACHER).entropy().mean()
    assert float(mean_of(STATED_STUDENT, STATED_TEACHER) + entropy) == pytest.approx(1.7209, abs=1e-3)


@pytest.mark.parametrize(("divergence", "beta"), [("forward_kl", 0.5), ("reverse_kl", 0.5), ("jsd", 0.5), ("jsd", 0.1)])
def test_trl_stated_edge_cases(divergence: str, beta: float) -> None:
    """0 for the same logits; KL of (0.9, 0.1) from (0.1, 0.9) is 0.8 ln 9 both ways; symmetric at beta 0.5 alone."""
    options: dict[str, Any] = {"divergence": divergence, "beta": beta}
    same, other = logits(1), logits(2)
    assert float(mean_of(torch.ones(1, 5), torch.ones(1, 5), **options)) == pytest.approx(0, abs=1e-6)
    assert float(mean_of(same, same, **options)) == pytest.approx(0, abs=1e-6)
    if divergence != "jsd":
        assert float(mean_of(UNLIKELY, LIKELY, **options)) == pytest.approx(0.8 * math.log(9), abs=1e-5)
    there, back = float(mean_of(same, other, **options)), float(mean_of(other, same, **options))
    assert (there == pytest.approx(back, rel=1e-5)) is (divergence == "jsd" and beta == 0.5)
    assert there != pytest.approx(float(mean_of(same, other, temperature=2.0, **options)), rel=1e-2)


def test_torchtune_stated_zero_where_nothing_counts() -> None:
    student = logits(1).requires_grad_()
    loss = mean_of(student, logits(2), torch.full((ROWS,), -100))
    loss.backward()
    assert float(loss.detach()) == 0 and student.grad is not None and float(student.grad.abs().max()) == 0


@pytest.mark.parametrize(("beta", "ours"), DIVERGENCES)
@pytest.mark.parametrize("trainer", ["gkd.GKDTrainer", "gold.GOLDTrainer"])
def test_trl_generalized_jsd_is_equal(trainer: str, beta: float, ours: str) -> None:
    module, _, name = trainer.partition(".")
    theirs = getattr(module_of(f"trl.experimental.{module}"), name).generalized_jsd_loss
    student, teacher, labels = logits(1).requires_grad_(), logits(2), make_labels(ROWS, VOCABULARY)
    count = int((labels != -100).sum())
    expected = theirs(student[None], teacher[None], labels=labels[None], beta=beta, temperature=2.0, reduction="sum")
    found = mean_of(student, teacher, labels, divergence=ours, beta=beta or 0.5, temperature=2.0)
    torch.testing.assert_close(found, expected / count, rtol=1e-4, atol=1e-6)
    (mine,), (other,) = (torch.autograd.grad(loss, student) for loss in (found, expected / count))
    torch.testing.assert_close(mine, other, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(("beta", "ours"), DIVERGENCES)
@pytest.mark.parametrize("k", [1, 3])
def test_trl_top_k_with_a_tail_is_equal(k: int, beta: float, ours: str) -> None:
    """The k likeliest ids of the teacher and the rest as one outcome, as a server's log-probabilities are learned from."""
    theirs = module_of("trl.experimental.server_distillation.server_distillation_trainer")
    student, teacher = logits(3).requires_grad_(), logits(4)
    targets = top_k_targets(teacher, k)
    everywhere = torch.ones(ROWS, k, dtype=torch.bool)
    own, mask = theirs._add_tail_bucket(student.log_softmax(-1).gather(1, targets.ids), everywhere)
    other, _ = theirs._add_tail_bucket(targets.log_probs, everywhere)
    expected = theirs._jsd_divergence(own, other, beta, support_mask=mask).sum()
    found = fused_linear_distillation(
        student,
        torch.eye(VOCABULARY),
        targets,
        make_labels(ROWS, VOCABULARY, ()),
        divergence=ours,
        beta=beta or 0.5,
        distill_weight=1.0,
        label_weight=0.0,
    ).total
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    (mine,), (reference,) = (torch.autograd.grad(loss, student) for loss in (found, expected))
    torch.testing.assert_close(mine, reference, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("ours", ["ForwardKLLoss", "ReverseKLLoss", "SymmetricKLLoss"])
def test_torchtune_losses_have_our_gradients(ours: str) -> None:
    """Labels left out, more ids in the teacher's favor; its symmetric loss is half of each KL."""
    student, teacher, labels = logits(5).requires_grad_(), logits(6), make_labels(ROWS, VOCABULARY)
    expected = getattr(torchtune_losses(), ours)()(student, teacher, labels)
    forward, reverse = (mean_of(student, teacher, labels, divergence=name) for name in ("forward_kl", "reverse_kl"))
    found = {"ForwardKLLoss": forward, "ReverseKLLoss": reverse}.get(ours, (forward + reverse) / 2)
    (mine,), (other,) = (torch.autograd.grad(loss, student) for loss in (found, expected))
    torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-6)
    if ours == "ReverseKLLoss":
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("temperature", "label", "distill", "beta"), [(1.0, 0.5, 0.5, 0.5), (2.0, 0.0, 1.0, 0.8), (0.5, 1.0, 0.0, 0.2)]
)
@pytest.mark.parametrize("bias", [False, True])
def test_liger_cases_are_equal(bias: bool, temperature: float, label: float, distill: float, beta: float) -> None:
    """The settings of its test_correctness on its odd shape: uniform inputs, heads with and without a bias."""
    losses = module_of("liger_kernel.chunked_loss")
    generator = torch.Generator().manual_seed(0)
    rows, width, vocabulary = 3 * 47, 31, 123

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator)

    hidden, weight = uniform(rows, width // 2).requires_grad_(), uniform(vocabulary, width // 2).requires_grad_()
    own_bias = uniform(vocabulary).requires_grad_() if bias else None
    teacher = (uniform(rows, width), uniform(vocabulary, width))
    teacher_bias = uniform(vocabulary) if bias else None
    labels = torch.randint(0, vocabulary, (rows,), generator=generator)
    loss = losses.LigerFusedLinearJSDLoss(
        weight_hard_loss=label,
        weight_soft_loss=distill * temperature**2,
        beta=beta,
        temperature=temperature,
        compiled=False,
    )
    expected = loss(hidden, weight, *teacher, labels, own_bias, teacher_bias)
    mine = fused_linear_distillation(
        hidden,
        weight,
        DenseTargets(*teacher, teacher_bias),
        labels,
        divergence="jsd",
        beta=beta,
        temperature=temperature,
        distill_weight=distill,
        label_weight=label,
        student_bias=own_bias,
    )
    found = mine.total / mine.count
    torch.testing.assert_close(found, expected, rtol=5e-4, atol=1e-5)
    leaves = [leaf for leaf in (hidden, weight, own_bias) if leaf is not None]
    for got, other in zip(torch.autograd.grad(found, leaves), torch.autograd.grad(expected, leaves), strict=True):
        torch.testing.assert_close(got, other, rtol=5e-4, atol=1e-5)


def test_torchtune_stated_ratio_bounds() -> None:
    """It refuses a ratio outside 0 to 1; ours names the ends, too."""
    for beta in (-0.1, 0.0, 1.0, 1.1):
        with pytest.raises(UserError, match="between 0 and 1"):
            mean_of(logits(1), logits(2), divergence="jsd", beta=beta)
