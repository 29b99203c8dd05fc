"""From which student a training starts: on its own texts a student learns only once it can write some that are worth correcting.

(Zuo et al. 2026, 2604.13016: on-policy distillation that failed was recovered by an off-policy start.)
"""

from __future__ import annotations

from pathlib import Path

from distil.errors import UserError
from distil.train.config import TrainConfig

WITH_TEACHER = ("sft_epochs", "forward_kl_above", "teacher_top_k", "mask_special_tokens")
"""Settings of logits and on_policy."""
OF_ROLLOUTS = (
    "on_policy_share", "rollout_unanswered", "rollout_temperature", "rollout_top_p", "rollout_tokens", "rollout_server",
    "rollout_teacher_top_k", "divergence_on_policy",
)  # fmt: skip
"""Settings of on_policy alone."""
USED = {"sft": (), "logits": WITH_TEACHER, "on_policy": WITH_TEACHER + OF_ROLLOUTS, "dpo": ("dpo_beta",)}
"""train.method -> the settings that it uses, of those that not every method does."""


def sft_epochs(section: TrainConfig) -> float:
    """How long the labels alone are learned; 0 for sft. UserError where nothing else would be left."""
    if section.method == "dpo" and section.sft_epochs:
        raise UserError(
            "train.method: dpo prefers the teacher's answers to those of the student it starts from, so that one has to be there "
            "first. Leave train.sft_epochs out, and name a trained student: --set student.model=work/train/sft/model."
        )
    if section.method == "sft":
        return 0.0
    if section.sft_epochs >= section.epochs:
        raise UserError(
            f"train.sft_epochs is {section.sft_epochs:g} and train.epochs {section.epochs:g}, so {section.method} would not "
            "begin. Raise train.epochs above it, or set train.method: sft."
        )
    return section.sft_epochs


def first_epochs(section: TrainConfig) -> float:
    """How long the answers alone are learned where that is advised: one epoch, or half of a shorter training."""
    return min(1.0, section.epochs / 2)


def is_trained(student: str) -> bool:
    """Whether Distil has trained this model; student: placed folder, or id."""
    return (Path(student).parent / "run.json").is_file()


def untuned_start(section: TrainConfig, student: str) -> str | None:
    """What to say where on_policy or dpo starts from a model that Distil has not trained; student: placed folder, or id."""
    if section.method not in ("on_policy", "dpo") or section.sft_epochs or is_trained(student):
        return None
    first = "" if section.method == "dpo" else f", or: --set train.sft_epochs={first_epochs(section):g}"
    return (
        f"{student} is not a student that Distil has trained. If it doesn't know the task yet, its own texts teach it little: "
        f"train it by sft first (--set student.model=work/train/sft/model){first}"
    )


def labels_alone(section: TrainConfig, steps_per_epoch: int, max_steps: int | None) -> str | None:
    """What to say of a trial that ends before its method begins; None = it does not."""
    first = round(sft_epochs(section) * steps_per_epoch)
    if max_steps is None or not 0 < max_steps <= first:
        return None
    return (
        f"--max-steps {max_steps} ends within train.sft_epochs, which has {first:,} steps: the labels alone are learned, and "
        f"{section.method} does not begin. To try it: --max-steps {first + max_steps}, or --set train.sft_epochs=0"
    )


def without_effect(section: TrainConfig) -> str | None:
    """What to say of settings that were chosen and that the method does not use."""
    chosen = {key for keys in USED.values() for key in keys if not _is_default(section, key)}
    idle = sorted(chosen - set(USED[section.method]))
    if not idle:
        return None
    users = [method for method, keys in USED.items() if set(idle) <= set(keys)]
    other = f" It is for train.method: {' or '.join(users)}." if users else ""
    return f"No effect with train.method: {section.method}: {', '.join(f'train.{key}' for key in idle)}.{other}"


def _is_default(section: TrainConfig, key: str) -> bool:
    return bool(getattr(section, key) == TrainConfig.model_fields[key].default)
