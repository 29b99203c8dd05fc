"""The mathematics of distillation on tensors: divergences, the fused loss, targets, sampling, alignment of tokenizers.

Start at targets.py (what a teacher says), then reference.py (the formulas), then fused.py. Needs torch; knows no model, no
tokenizer, no file.
"""

from __future__ import annotations

from distil.objectives.crosstokenizer import CrossTokenizer, cross_tokenizer_distillation
from distil.objectives.fused import fused_linear_distillation
from distil.objectives.reference import divergence_rows, reference_distillation
from distil.objectives.sampling import random_sampling_targets, stratified_targets, top_k_targets
from distil.objectives.settings import LossSettings
from distil.objectives.shift import next_token_labels, next_token_rows
from distil.objectives.spans import FirstBytes, Spans, VocabularyMatch, aligned_spans, joined_spans, matched_vocabulary
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
    "CrossTokenizer",
    "DenseTargets",
    "FirstBytes",
    "LogitTargets",
    "LossSettings",
    "LossSum",
    "MixtureTargets",
    "SampledTargets",
    "Spans",
    "SparseTargets",
    "Targets",
    "TopKTargets",
    "VocabularyMatch",
    "aligned_spans",
    "cross_tokenizer_distillation",
    "divergence_rows",
    "fused_linear_distillation",
    "joined_spans",
    "matched_vocabulary",
    "next_token_labels",
    "next_token_rows",
    "random_sampling_targets",
    "reference_distillation",
    "retempered_top_k",
    "stratified_targets",
    "teacher_mass_outside",
    "top_k_targets",
]
