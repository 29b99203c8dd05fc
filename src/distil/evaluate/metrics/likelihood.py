"""What a local model's logits say about the teacher's answer; measured by evaluate/likelihood.py, where they are at hand."""

from __future__ import annotations

import math
from collections.abc import Sequence

from distil.evaluate.metrics.table import Case, Values

MAX_PERPLEXITY = 1e4
"""Higher ones count as this: one impossible token would outweigh a hundred answers."""


def perplexity(cases: Sequence[Case]) -> Values:
    """exp of the mean negative log-likelihood of the teacher's answer, at most 10,000; None without the model."""
    limit = math.log(MAX_PERPLEXITY)
    return [None if case.nll is None else math.exp(min(case.nll, limit)) for case in cases]


def kl(cases: Sequence[Case]) -> Values:
    """KL(teacher || model) in nats per token of the teacher's answer; None without both models."""
    return [case.kl if case.kl is None or math.isfinite(case.kl) else None for case in cases]
