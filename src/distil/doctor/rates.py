"""The learning rate that fits a student's size and adapter (2e-5 for 7B, by the square root, LoRA tenfold)."""

from __future__ import annotations


def fitting_rate(parameters: int, *, lora: bool) -> float:
    """The peak for a model of so many parameters."""
    rate = 2e-5 * (7e9 / max(parameters, 1)) ** 0.5
    return float(f"{min(rate * 10, 1e-2) if lora else min(rate, 2e-3):.1e}")
