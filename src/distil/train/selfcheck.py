"""Checks that run in seconds before every training and as `distil selfcheck`; each finds a bug that some trainer has shipped.

Objectives against their plain reference and finite differences, a teacher that equals its student, the proofs of
models/proofs.py on the student, one batch against four, which tokens of the first example are learned, and how much of the
teacher's mass is outside the student's vocabulary. Not the test suite: these run with the user's own models and data.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import torch
from torch import Tensor

from distil.errors import UserError, WorkFailed
from distil.models.proofs import Check, check_causal, check_end, check_head, check_saving
from distil.models.render import render_prompt, special_ids
from distil.models.template_proofs import prove_template
from distil.models.unwrap import causal_model
from distil.objectives.chunks import Buffers
from distil.objectives.fused import fused_linear_distillation
from distil.objectives.gradients import chosen_divergence
from distil.objectives.reference import divergence_rows, reference_distillation
from distil.objectives.rows import row_kernel
from distil.objectives.targets import DIVERGENCES, IGNORED, DenseTargets, LogitTargets, MixtureTargets
from distil.objectives.vocabulary import teacher_mass_outside
from distil.train.batches import MicroBatch, StepSampler
from distil.train.examples import Tokenized, marked_text, taught_ends
from distil.train.job import process_rank

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from distil.models.load import Loaded
    from distil.train.trainer import DistilTrainer

MAX_EXPECTED_MASS_OUTSIDE = 1e-4
ONE_PASS = 10**9


class _Options(TypedDict):
    divergence: str
    temperature: float
    alpha: float
    beta: float


def check_before_training(trainer: DistilTrainer, student: Loaded, train: list[Tokenized], folder: Path) -> list[Check]:
    """The proofs of every start. `folder` is the student's. Raises WorkFailed when one fails, UserError when the first loss
    isn't a number."""
    checks = [
        *check_objectives(),
        *check_model(student, train, folder),
        *check_training(trainer, student, train, thorough=False),
    ]
    failed = [f"{check.name} ({check.detail})" for check in checks if not check.ok]
    if failed:
        raise WorkFailed(
            f"The self-check before training failed: {'; '.join(failed)}. Nothing was trained. Repeat it with `distil selfcheck`."
        )
    return checks


# ---- on tensors alone


def check_objectives(seed: int = 0) -> list[Check]:
    """Small float64 tensors, and rows of logits in float32: about a tenth of a second once the row kernel is compiled."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    hidden, weight, teacher, teacher_weight = normal(6, 5), normal(11, 5), normal(6, 7), normal(13, 7)
    labels = torch.tensor([3, -100, 0, 10, -100, 7])
    targets = DenseTargets(teacher, teacher_weight)
    loss_error, slope_error = 0.0, 0.0
    for divergence in DIVERGENCES:
        options: _Options = {"divergence": divergence, "temperature": 2.0, "alpha": 0.1, "beta": 0.3}
        h, w = hidden.clone().requires_grad_(), weight.clone().requires_grad_()
        fused = fused_linear_distillation(h, w, targets, labels, chunk_tokens=2, **options)
        fused.total.backward()
        plain = reference_distillation(hidden @ weight.T, targets, labels, **options)
        loss_error = max(loss_error, abs(float(fused.total.detach() - plain.total)))
        slope_error = max(slope_error, _slope_error(hidden, weight, h.grad, targets, labels, options, generator))
    h = hidden.clone().requires_grad_()
    same = fused_linear_distillation(
        h, weight, DenseTargets(hidden, weight), labels, distill_weight=1.0, label_weight=0.0, temperature=2.0
    )
    same.total.backward()
    assert h.grad is not None
    zero = max(abs(float(same.total.detach())), float(h.grad.abs().max()))
    difference = f"largest difference {loss_error:.1e} over {len(DIVERGENCES)} divergences"
    largest = f"loss and gradient at most {zero:.1e}"
    return [
        Check("fused loss equals its formula", loss_error < 1e-9, difference),
        Check("gradients equal finite differences", slope_error < 1e-5, f"largest relative error {slope_error:.1e}"),
        Check("a teacher that equals its student gives no gradient", zero < 1e-9, largest),
        _rows_in_float32(generator),
    ]


def _rows_in_float32(generator: torch.Generator) -> Check:
    """Losses and gradients of rows as a training on a CPU computes them: float64 runs other code."""
    max_error, kind = 0.0, ""
    for divergence in DIVERGENCES:
        student, teacher = (3 * torch.randn(4, 4099, generator=generator) for _ in range(2))
        exact = student.double().requires_grad_()
        plain = divergence_rows(divergence, teacher.double().log_softmax(-1), exact.log_softmax(-1), beta=0.3)
        plain.sum().backward()
        assert exact.grad is not None
        kernel = row_kernel(Buffers(torch.float32, torch.device("cpu")), 2.0, chosen_divergence(divergence, beta=0.3))
        kind = kernel.kind
        loss, _ = kernel.dense(student, teacher, (1.0, 0.0))  # the gradient takes the student's place
        pairs = ((loss, plain.detach()), (student, exact.grad))
        max_error = max(max_error, *(float((actual - exact).norm() / exact.norm()) for actual, exact in pairs))
    detail = f"{kind}, largest relative error {max_error:.1e}"
    return Check("rows of logits are right in float32", max_error < 1e-5, detail)


def _slope_error(
    hidden: Tensor,
    weight: Tensor,
    gradient: Tensor | None,
    targets: DenseTargets,
    labels: Tensor,
    options: _Options,
    generator: torch.Generator,
) -> float:
    """Relative error of the gradient along a random direction, against a central difference."""
    assert gradient is not None
    direction = torch.randn(hidden.shape, generator=generator, dtype=torch.float64)
    step = 1e-5
    totals = [
        float(reference_distillation((hidden + sign * step * direction) @ weight.T, targets, labels, **options).total)
        for sign in (1, -1)
    ]
    numeric = (totals[0] - totals[1]) / (2 * step)
    analytic = float((gradient * direction).sum())
    return abs(numeric - analytic) / max(abs(numeric), 1e-8)


# ---- on the training's own models and data


def check_model(student: Loaded, train: Sequence[Tokenized], folder: Path) -> list[Check]:
    """On the student alone: head, causality, the taught ends, and saving (in the first process, for a full training)."""
    first, ends = min(train, key=lambda e: (len(e.input_ids), e.id)), taught_ends(train)
    checks = [
        check_head(student.model),
        check_causal(student.model),
        check_end(student, first.input_ids[: first.prompt_length], ends),
    ]
    full = causal_model(student.model) is student.model  # a merged adapter is compared when it is merged
    if full and process_rank() == 0 and (saved := check_saving(student, folder)) is not None:
        checks.append(saved)
    return checks


def check_training(trainer: DistilTrainer, student: Loaded, train: list[Tokenized], *, thorough: bool) -> list[Check]:
    """First loss, learned tokens, and the teacher's mass outside the student's vocabulary. `thorough` adds cutting a step
    differently and two processes."""
    examples = sorted(train, key=lambda e: (len(e.input_ids), e.id))[: 8 if thorough else 4]
    tokenizer = student.tokenizer
    checks = [
        _first_loss(trainer, examples),
        _learned_tokens(tokenizer, examples[0]),
        _asked_prompt(tokenizer, examples),
        *_template(tokenizer, examples),
    ]
    rows = "packed rows" if trainer.settings.packing else "padded rows"
    checks.append(Check("a packed row equals its documents alone, or rows are padded", True, rows))
    outside = _mass_outside(trainer, student, examples)
    if outside is not None:
        checks.append(outside)
    if thorough:
        checks += [_cut_differently(trainer, examples), _two_processes(trainer, examples)]
    return checks


@torch.no_grad()
def _loss(trainer: DistilTrainer, batches: list[MicroBatch]) -> tuple[float, int]:
    """(sum of losses, learned tokens or pairs) of some passes."""
    model = trainer.model
    was_training = model.training
    model.eval()
    try:
        total = sum((float(trainer.forward(model, batch)["loss"]) for batch in batches), 0.0)
    finally:
        model.train(was_training)
    return total, sum(batch.units for batch in batches)


def _first_loss(trainer: DistilTrainer, examples: list[Tokenized]) -> Check:
    total, count = _loss(trainer, trainer.cut(examples, max_tokens=1))  # one example per pass needs the least memory
    if not math.isfinite(total):
        raise UserError(
            f"The loss is {total} before the first step, so the student or the teacher has weights that are NaN or overflow in "
            "this dtype. Set student.dtype: float32 and train.bf16: false, and check that both models answer."
        )
    unit = "pair" if examples[0].rejected is not None else "token"
    return Check("the first loss is a number", True, f"{total / max(count, 1):.4f} per {unit} over {count} {unit}s")


def _learned_tokens(tokenizer: PreTrainedTokenizerBase, example: Tokenized) -> Check:
    learned = [label for label in example.labels if label != IGNORED]
    stops = bool(learned) and learned[-1] in special_ids(tokenizer)
    text = marked_text(tokenizer, example).replace("\n", "⏎")
    shown = text if len(text) <= 300 else f"{text[:120]} ... {text[-170:]}"
    detail = f"{len(learned)} of {len(example.input_ids)} tokens in 【】: {shown}"
    return Check("only the answer and its end token are learned", stops, detail)


def _asked_prompt(tokenizer: PreTrainedTokenizerBase, examples: list[Tokenized]) -> Check:
    """The tokens before the answer are those that a server is asked with for the same conversation."""
    compared = [example for example in examples if example.messages]
    unlike = [
        example.id
        for example in compared
        if render_prompt(
            tokenizer, example.messages[:-1], tools=example.tools, thinks=bool(example.messages[-1].reasoning_content)
        )
        != example.input_ids[: example.prompt_length]
    ]
    detail = f"{len(compared)} prompts" + (f"; not in {', '.join(unlike)}" if unlike else "")
    return Check("the trained prompt is the asked prompt", not unlike, detail)


def _template(tokenizer: PreTrainedTokenizerBase, examples: list[Tokenized]) -> list[Check]:
    """The proofs on the chat template, on the user's own conversations; `_asked_prompt` has compared the rows themselves."""
    conversations = [(example.messages, example.tools) for example in examples if example.learned and example.messages]
    return [Check(*proof) for proof in prove_template(tokenizer, conversations)[1:]]


def _mass_outside(trainer: DistilTrainer, student: Loaded, examples: list[Tokenized]) -> Check | None:
    batch = trainer.cut(examples)[0].to(student.device)
    with torch.no_grad():
        targets = trainer.settings.source.signal(batch, 0).targets
    if not isinstance(targets, DenseTargets | LogitTargets | MixtureTargets):
        return None
    size = causal_model(student.model).get_output_embeddings().weight.shape[0]
    mass = float(teacher_mass_outside(targets, size).mean()) if targets.vocabulary > size else 0.0
    shared = min(size, targets.vocabulary)
    sizes = f"{shared:,} shared ids (student {size:,}, teacher {targets.vocabulary:,})"
    detail = f"{sizes}, {mass:.1e} of the teacher's mass outside"
    if mass > MAX_EXPECTED_MASS_OUTSIDE:
        detail += ": more than expected"
    return Check("the vocabularies fit", mass < 0.5, detail)


def _cut_differently(trainer: DistilTrainer, examples: list[Tokenized]) -> Check:
    """One pass, passes of one example each (packed against alone), and passes of about two give the same sum."""
    sizes = (ONE_PASS, 1, max(len(e.input_ids) for e in examples) * 2)
    totals = [_loss(trainer, trainer.cut(examples, max_tokens=size)) for size in sizes]
    losses = [total / max(count, 1) for total, count in totals]
    spread = (max(losses) - min(losses)) / max(abs(losses[0]), 1e-6)
    ok = spread < _tolerance(trainer)
    return Check("cutting a step differently changes nothing", ok, f"relative spread {spread:.1e}")


def _two_processes(trainer: DistilTrainer, examples: list[Tokenized]) -> Check:
    """Two processes' shares of a step contain every example once, and their losses add up to the loss of one process."""
    lengths = [len(example.input_ids) for example in examples]
    shares = [next(iter(StepSampler(lengths, len(examples), 0, rank, 2))) for rank in range(2)]
    whole, count = _loss(trainer, trainer.cut(examples, max_tokens=ONE_PASS))
    parts = [
        _loss(trainer, trainer.cut([examples[i] for i in share], max_tokens=ONE_PASS)) for share in shares if share
    ]
    error = abs(sum(total for total, _ in parts) - whole) / max(abs(whole), 1e-6)
    ok = sum(tokens for _, tokens in parts) == count and error < _tolerance(trainer)
    return Check("two processes learn what one learns", ok, f"relative difference {error:.1e}")


def _tolerance(trainer: DistilTrainer) -> float:
    return 1e-4 if next(trainer.model.parameters()).dtype == torch.float32 else 3e-2
