"""What is minimized, as the `train` section says it: on the fixed answers, on the student's own texts, and on single tokens.

The formulas are in distil.objectives; setup.py hands the values to the trainer.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields, replace

from distil.errors import UserError
from distil.objectives.rowwise import RowRules
from distil.objectives.settings import LABELS_ONLY, LossSettings
from distil.train.config import BY_TEXT, TrainConfig


def loss_settings(section: TrainConfig) -> LossSettings:
    """What is minimized. sft uses the labels alone, at weight 1; dpo has a loss of its own (pairs.py)."""
    if section.method in BY_TEXT:
        return LABELS_ONLY
    if section.distill_weight == 0 and section.label_weight == 0:
        raise UserError(
            "train.distill_weight and train.label_weight are both 0, so nothing would be learned. Use 0.7 and 0.3."
        )
    return LossSettings(**{setting.name: getattr(section, setting.name) for setting in fields(LossSettings)})


def loss_on_policy(section: TrainConfig) -> LossSettings | None:
    """What is minimized on the student's own texts, where that differs."""
    if section.method != "on_policy" or section.divergence_on_policy is None:
        return None
    return replace(loss_settings(section), divergence=section.divergence_on_policy)


def row_rules(section: TrainConfig, special: Iterable[int]) -> RowRules:
    """The rules for single rows; special: ids of the student's special tokens. UserError where another tokenizer's teacher, whose
    loss is not over ids, can't follow them."""
    if section.method in BY_TEXT:
        return RowRules()
    masked = tuple(sorted(special)) if section.mask_special_tokens else ()
    rules = RowRules(section.forward_kl_above, section.teacher_top_k, masked)
    if section.cross_tokenizer is not None and rules != RowRules():
        raise UserError(
            "train.forward_kl_above, train.teacher_top_k and train.mask_special_tokens compare token by token, and "
            f"train.cross_tokenizer: {section.cross_tokenizer} does not. Leave them out, or choose a teacher with the student's "
            "tokenizer and leave train.cross_tokenizer out."
        )
    return rules
