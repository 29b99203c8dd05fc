"""`LossSettings`: the six numbers of an objective, as one value. The formulas are in `reference.py`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LossSettings:
    """What is minimized; names and defaults are the keyword arguments of `fused_linear_distillation`."""

    divergence: str = "forward_kl"
    beta: float = 0.5
    alpha: float = 0.1
    temperature: float = 1.0
    distill_weight: float = 0.7
    label_weight: float = 0.3


LABELS_ONLY = LossSettings(distill_weight=0.0, label_weight=1.0)
"""Cross-entropy alone, as in SFT."""
