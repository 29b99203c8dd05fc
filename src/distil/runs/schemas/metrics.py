"""One line of a training's log, work/train/NAME/metrics.jsonl: what is read of it."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class MetricsRow(BaseModel):
    """A training line has `loss`, a validation line `eval_loss`. Other keys, such as the learning rate, are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)

    step: int
    """Optimizer steps so far."""
    epoch: float = 0.0
    """Passes over the training examples so far."""
    loss: float | None = None
    """Mean training loss since the last line; NaN when it broke."""
    eval_loss: float | None = None
    """Loss on the validation split."""
    label: float | None = None
    """Cross-entropy of the answer's tokens, which is the loss where no divergence is trained."""
    learning_rate: float | None = None
    """At that step."""
    grad_norm: float | None = None
    """Norm of the gradient before it was clipped."""
