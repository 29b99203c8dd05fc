"""Trains the same students on the device that this process sees, and writes what they lost: `python trainings.py FOLDER`.

A process of its own, because a CPU beside a GPU is only used where no GPU is seen (CUDA_VISIBLE_DEVICES="").
"""

from __future__ import annotations

import json
import sys
import traceback
from pathlib import Path
from typing import Any

from distil.calls.config import TeacherConfig
from distil.models.config import StudentConfig
from distil.models.load import quiet
from distil.runs.artifacts import Project
from distil.signals import stage as signals_stage
from distil.signals.config import SignalsConfig
from distil.train import stage
from distil.train.config import TrainConfig
from tests.tiny import write_tiny_splits

COMMON: dict[str, Any] = {
    "epochs": 3, "learning_rate": 1e-3, "batch_size": 8, "log_steps": 1, "warmup": 0.0, "seed": 0,
}  # fmt: skip
LOGITS: dict[str, Any] = {"method": "logits", "temperature": 1.0}
ARMS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "sft": ({}, {}),
    "sft padded": ({"packing": False}, {}),
    "sft checkpointing": ({"gradient_checkpointing": True}, {}),
    "sft lora": ({}, {"adapter": "lora", "lora_dropout": 0.0}),
    "sft small passes": ({"micro_batch_tokens": 64}, {}),
    "logits": (LOGITS, {}),
    "logits jsd T=2": ({**LOGITS, "divergence": "jsd", "temperature": 2.0}, {}),
    "logits cached": ({**LOGITS, "signal": "cached"}, {}),
    "on_policy": ({"method": "on_policy", "divergence": "jsd", "rollout_temperature": 0.0, "rollout_tokens": 12}, {}),
    "dpo": ({"method": "dpo", "learning_rate": 1e-4}, {}),
}  # fmt: skip
"""Name -> settings of train and of the student."""


def train(root: Path, name: str, settings: dict[str, Any], student: dict[str, Any], **more: Any) -> list[float]:
    """The training's losses, one a step, of training and then of validation."""
    project = Project(root / name.replace(" ", "-"))
    write_tiny_splits(project, train=24, validation=8)
    teacher = TeacherConfig(model="local/bundled/teacher")
    section = TrainConfig.model_validate({**COMMON, **settings, **more})
    of = StudentConfig.model_validate({"model": "bundled/student", **student})
    if section.signal == "cached":
        signals_stage.build(project, SignalsConfig(kind="top_k", k=50), teacher="bundled/teacher", student=of)
    stage.run(project, section, of, name="x", teacher=None if section.method == "sft" else teacher)
    found = [json.loads(line) for line in (project.stage("train", "x") / "metrics.jsonl").read_text().splitlines()]
    return [line[key] for key in ("loss", "eval_loss") for line in found if key in line]


def main() -> None:
    """Every arm in float32, then as the device would by itself (bfloat16 on a GPU)."""
    quiet()
    root = Path(sys.argv[1])
    losses: dict[str, Any] = {}
    for kind, more in (("float32", {"bf16": False}), ("auto", {})):
        for name, (settings, student) in ARMS.items():
            numbers = {**student, "dtype": "float32"} if kind == "float32" else student
            try:
                losses[f"{name}, {kind}"] = train(root / kind, name, settings, numbers, **more)
            except Exception:
                losses[f"{name}, {kind}"] = traceback.format_exc()
    (root / "losses.json").write_text(json.dumps(losses))


if __name__ == "__main__":
    main()
