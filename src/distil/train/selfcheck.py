"""Checks that run in seconds before every training and as `distil selfcheck`; each is a bug that some trainer has shipped.

Objectives against their plain reference and finite differences, a teacher that equals its student, one batch against four,
packed against alone, which tokens of the first example train, and how much of the teacher lies outside the student's
vocabulary. Not the tests: these run with the user's own models and data where there are any.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import Any

import torch

from distil.errors import UserError, WorkFailed
from distil.objectives.chunks import Buffers
from distil.objectives.fused import fused_linear_distillation
from distil.objectives.gradients import chosen_divergence
from distil.objectives.reference import divergence_rows, reference_distillation
from distil.objectives.rows import row_kernel
from distil.objectives.targets import DIVERGENCES, DenseTargets, LogitTargets, MixtureTargets
from distil.objectives.vocabulary import teacher_mass_outside
from distil.runs.artifacts import Project
from distil.train.batches import MicroBatch, StepSampler, micro_batches
from distil.train.examples import Tokenized, marked_text
from distil.train.objective import causal_model, counted

OUTSIDE_WARNING = 1e-4


@dataclass(frozen=True)
class Check:
    """One check and what it measured."""

    name: str
    ok: bool
    detail: str
    """The measured figure, for a person."""


def run(project: Project, config: Any | None = None) -> list[Check]:
    """All checks that can be made: on tensors always; on the configured student and the curated data where they are there."""
    checks = check_objectives()
    if config is None or not project.split("train").exists():
        return checks
    from distil.train.run import TrainJob, prepare

    # One step: a teacher is then asked about the checked examples alone, not once about all.
    job = TrainJob(project.root, ".selfcheck", config.train, config.student, config.teachers[0], max_steps=1)
    try:
        return [*checks, *check_training(prepare(job.placed()), thorough=True)]
    finally:
        shutil.rmtree(job.folder, ignore_errors=True)


def before_training(ready: Any) -> list[Check]:
    """The checks of a training's start. Raises WorkFailed when one fails, UserError when the first loss isn't a number."""
    checks = [*check_objectives(), *check_training(ready, thorough=False)]
    failed = [f"{check.name} ({check.detail})" for check in checks if not check.ok]
    if failed:
        raise WorkFailed(
            f"The self-check before training failed: {'; '.join(failed)}. Nothing was trained; `distil selfcheck` repeats it."
        )
    return checks


# ---- on tensors alone


def check_objectives(seed: int = 0) -> list[Check]:
    """On small float64 tensors, and rows of logits in float32: about a tenth of a second, once they are compiled."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    hidden, weight, teacher, teacher_weight = normal(6, 5), normal(11, 5), normal(6, 7), normal(13, 7)
    labels = torch.tensor([3, -100, 0, 10, -100, 7])
    targets = DenseTargets(teacher, teacher_weight)
    worst, slope = 0.0, 0.0
    for divergence in DIVERGENCES:
        options: dict[str, Any] = {"divergence": divergence, "temperature": 2.0, "alpha": 0.1, "beta": 0.3}
        h, w = hidden.clone().requires_grad_(), weight.clone().requires_grad_()
        fused = fused_linear_distillation(h, w, targets, labels, chunk_tokens=2, **options)
        fused.total.backward()
        plain = reference_distillation(hidden @ weight.T, targets, labels, **options)
        worst = max(worst, abs(float(fused.total.detach() - plain.total)))
        slope = max(slope, _slope_error(hidden, weight, h.grad, targets, labels, options, generator))
    h = hidden.clone().requires_grad_()
    same = fused_linear_distillation(
        h, weight, DenseTargets(hidden, weight), labels, distill_weight=1.0, label_weight=0.0, temperature=2.0
    )
    same.total.backward()
    zero = max(abs(float(same.total.detach())), float(h.grad.abs().max()) if h.grad is not None else float("inf"))
    return [
        Check(
            "fused loss equals its formula",
            worst < 1e-9,
            f"largest difference {worst:.1e} over {len(DIVERGENCES)} divergences",
        ),
        Check("gradients equal finite differences", slope < 1e-5, f"largest relative error {slope:.1e}"),
        Check(
            "a teacher that equals its student teaches nothing", zero < 1e-9, f"loss and gradient at most {zero:.1e}"
        ),
        _rows_in_float32(generator),
    ]


def _rows_in_float32(generator: torch.Generator) -> Check:
    """Losses and gradients of rows as a training on a CPU computes them: other code than that for float64."""
    worst, kind = 0.0, ""
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
        worst = max(worst, *(float((got - right).norm() / right.norm()) for got, right in pairs))
    return Check("rows of logits are right in float32", worst < 1e-5, f"{kind}, largest relative error {worst:.1e}")


def _slope_error(
    hidden: torch.Tensor,
    weight: torch.Tensor,
    gradient: torch.Tensor | None,
    targets: DenseTargets,
    labels: torch.Tensor,
    options: dict[str, Any],
    generator: torch.Generator,
) -> float:
    """The gradient along a random direction against a central difference, relative."""
    assert gradient is not None
    direction = torch.randn(hidden.shape, generator=generator, dtype=torch.float64)
    step = 1e-5
    sides = [
        float(reference_distillation((hidden + sign * step * direction) @ weight.T, targets, labels, **options).total)
        for sign in (1, -1)
    ]
    numeric = (sides[0] - sides[1]) / (2 * step)
    analytic = float((gradient * direction).sum())
    return abs(numeric - analytic) / max(abs(numeric), 1e-8)


# ---- on the training's own models and data


def check_training(ready: Any, *, thorough: bool) -> list[Check]:
    """First loss, which tokens train, and the teacher's mass outside; `thorough` adds one batch against four and
    packed against alone."""
    trainer, recipe, student = ready.trainer, ready.recipe, ready.student
    examples: list[Tokenized] = sorted(ready.train, key=lambda e: (len(e.input_ids), e.id))[: 8 if thorough else 4]
    checks = [_first_loss(trainer, examples), _what_trains(student.tokenizer, examples[0])]
    outside = _mass_outside(trainer, recipe, student, examples)
    if outside is not None:
        checks.append(outside)
    if thorough:
        checks += [_cut_differently(trainer, examples), _two_processes(trainer, examples)]
    return checks


def _loss(trainer: Any, batches: list[MicroBatch]) -> tuple[float, float]:
    """(sum of losses, counted tokens) of some passes, without gradients."""
    total, count = 0.0, 0
    model = trainer.model
    was = model.training
    model.eval()
    try:
        with torch.no_grad():
            for batch in batches:
                total += float(trainer._forward(model, batch, False)["loss"])
                count += batch.learned
    finally:
        model.train(was)
    return total, float(count)


def _first_loss(trainer: Any, examples: list[Tokenized]) -> Check:
    options: dict[str, Any] = {"packing": trainer.recipe.packing, "pad_id": trainer.pad_id}
    total, count = _loss(trainer, micro_batches(examples, 1, **options))  # one example a pass: needs the least memory
    if not torch.isfinite(torch.tensor(total)):
        raise UserError(
            f"The loss is {total} before the first step: the student's or the teacher's weights hold no usable numbers "
            "in this dtype. "
            "Set student.dtype: float32 and train.bf16: false, and check that both models answer."
        )
    return Check("the first loss is a number", True, f"{total / max(count, 1):.4f} a token over {int(count)} tokens")


def _what_trains(tokenizer: Any, example: Tokenized) -> Check:
    learned = [token for token, label in zip(example.input_ids, example.labels, strict=True) if label != -100]
    stops = bool(learned) and learned[-1] in {tokenizer.eos_token_id, *tokenizer.all_special_ids}
    text = marked_text(tokenizer, example).replace("\n", "⏎")
    shown = text if len(text) <= 300 else f"{text[:120]} ... {text[-170:]}"
    return Check(
        "answer and end token train, nothing else",
        stops,
        f"{len(learned)} of {len(example.input_ids)} tokens in 【】: {shown}",
    )


def _mass_outside(trainer: Any, recipe: Any, student: Any, examples: list[Tokenized]) -> Check | None:
    batch = trainer._cut(examples, [])[0].to(student.device)
    keep, _ = counted(batch.labels, batch.documents)
    with torch.no_grad():
        targets = recipe.source.signal(batch, keep, 0).targets
    if not isinstance(targets, DenseTargets | LogitTargets | MixtureTargets):
        return None
    size = causal_model(student.model).get_output_embeddings().weight.shape[0]
    mass = float(teacher_mass_outside(targets, size).mean()) if targets.vocabulary > size else 0.0
    shared = min(size, targets.vocabulary)
    sizes = f"{shared:,} shared ids (student {size:,}, teacher {targets.vocabulary:,})"
    detail = f"{sizes}, {mass:.1e} of the teacher's mass outside"
    if mass > OUTSIDE_WARNING:
        detail += ": more than expected"
    return Check("the vocabularies fit", mass < 0.5, detail)


def _cut_differently(trainer: Any, examples: list[Tokenized]) -> Check:
    """One pass, passes of one example each (which is also packed against alone), and passes of about two: the same sum."""
    options: dict[str, Any] = {"packing": trainer.recipe.packing, "pad_id": trainer.pad_id}
    sizes = (10**9, 1, max(len(e.input_ids) for e in examples) * 2)
    totals = [_loss(trainer, micro_batches(examples, size, **options)) for size in sizes]
    losses = [total / max(count, 1) for total, count in totals]
    spread = (max(losses) - min(losses)) / max(abs(losses[0]), 1e-6)
    tolerance = 1e-4 if next(trainer.model.parameters()).dtype == torch.float32 else 3e-2
    return Check("cutting a step differently changes nothing", spread < tolerance, f"relative spread {spread:.1e}")


def _two_processes(trainer: Any, examples: list[Tokenized]) -> Check:
    """The shares of two processes of a step hold every example once, and their losses add up to the loss of one process."""
    options: dict[str, Any] = {"packing": trainer.recipe.packing, "pad_id": trainer.pad_id}
    lengths = [len(example.input_ids) for example in examples]
    shares = [next(iter(StepSampler(lengths, len(examples), 0, rank, 2))) for rank in range(2)]
    whole, count = _loss(trainer, micro_batches(examples, 10**9, **options))
    parts = [_loss(trainer, micro_batches([examples[i] for i in share], 10**9, **options)) for share in shares if share]
    off = abs(sum(total for total, _ in parts) - whole) / max(abs(whole), 1e-6)
    tolerance = 1e-4 if next(trainer.model.parameters()).dtype == torch.float32 else 3e-2
    same_tokens = sum(n for _, n in parts) == count
    return Check(
        "two processes learn what one learns", same_tokens and off < tolerance, f"relative difference {off:.1e}"
    )
