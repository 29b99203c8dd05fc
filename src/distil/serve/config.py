"""The `serve` section of distil.yaml. Read by distil/config.py; stage.py and calibrate.py unpack it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from distil.runs.section import Section


class ServeConfig(Section):
    """Where the gateway listens, and when it asks the teacher instead of the student."""

    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 = every address of this machine (the gateway itself asks for no key)."""
    port: int = Field(default=8000, ge=0, le=65535)
    """0 = any free port; the ready line says which."""
    fallback: Literal["off", "always", "threshold", "calibrated"] = "calibrated"
    """off: the student answers everything. always: the teacher does. threshold: the teacher answers what the student is less
    sure of than `threshold`. calibrated: the same with the threshold and the promise that `distil calibrate` found."""
    risk: float = Field(default=0.05, gt=0, lt=1)
    """Largest share of bad answers among those that the student gives itself (calibrated)."""
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    """How sure calibration must be that the share of bad answers is below `risk`."""
    threshold: float | None = Field(default=None, ge=0, le=1)
    """Confidence from which the student answers; only for fallback: threshold."""
    score: Literal["lowest_tenth", "mean", "minimum", "entropy"] = "lowest_tenth"
    """How a confidence in [0, 1] is made from the probabilities of the answer's tokens."""
    goal: float | None = Field(default=None, gt=0, le=1)
    """An answer is good when it agrees with the teacher's from this share on: of the fields where it is JSON, as similarity where
    it is prose; a label must be equal. null = 1 for fields (all of them), 0.85 for prose."""
    engine: str | None = None
    """An OpenAI-compatible server in front of the student, such as http://127.0.0.1:8001/v1#name (vLLM);
    null = in this process."""
    engine_key_env: str | None = None
    """Name of the environment variable with that server's key."""
    teacher_failure: Literal["error", "student"] = "error"
    """When the student is unsure and the teacher can't be reached: answer with an error, or with the student's answer. The
    calibrated promise holds with `error` only."""
    budget_usd: float | None = Field(default=None, ge=0)
    """Dollar cap for the teacher's answers over the life of this gateway; null = no cap."""
    capture: bool = True
    """Keep the prompts that the teacher answered, in work/serve/captured.jsonl, as material for the next round."""
    batch_size: int = Field(default=64, ge=1)
    """Requests that the in-process student answers at once."""
    queue: int = Field(default=2048, ge=1)
    """Requests that may wait for it; more are refused with 503 and Retry-After."""
    default_max_tokens: int = Field(default=500, ge=1)
    """Longest answer where a request does not say."""
