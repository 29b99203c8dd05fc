"""The mathematics of distillation on tensors: divergences, the fused loss, targets, sampling, alignment of tokenizers.

Start at targets.py (what a teacher says), then reference.py (the formulas), then fused.py. Needs torch; knows no model, no
tokenizer, no file.
"""

from __future__ import annotations

from distil.objectives.fused import fused_linear_distillation
from distil.objectives.reference import divergence_rows, reference_distillation
from distil.objectives.shift import next_token_labels, next_token_rows
from distil.objectives.targets import (
    DIVERGENCES,
    IGNORED,
    DenseTargets,
    LogitTargets,
    LossSum,
    MixtureTargets,
    SampledTargets,
    SparseTargets,
    Targets,
    TopKTargets,
    retempered_top_k,
)
from distil.objectives.vocabulary import teacher_mass_outside

__all__ = [
    "DIVERGENCES",
    "IGNORED",
    "DenseTargets",
    "LogitTargets",
    "LossSum",
    "MixtureTargets",
    "SampledTargets",
    "SparseTargets",
    "Targets",
    "TopKTargets",
    "divergence_rows",
    "fused_linear_distillation",
    "next_token_labels",
    "next_token_rows",
    "reference_distillation",
    "retempered_top_k",
    "teacher_mass_outside",
]
