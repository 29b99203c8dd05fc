"""Our loss of pairs against TRL's DPOTrainer on the same models and tokens, where TRL is installed (checked with 1.16.0)."""

from __future__ import annotations

import importlib.util
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from distil.objectives.targets import IGNORED
from distil.train.examples import Tokenized
from distil.train.objective import Task, objective
from distil.train.pairs import PairSource, log_probs_before, pair_batches, with_log_probs
from distil.train.trainer import LABELS_ONLY
from tests.tiny import tiny_model, tiny_tokenizer

PAIRS = [([1, 40, 41], [50, 51, 2], [60, 2]), ([1, 42], [52, 2], [61, 62, 63, 2])]
"""(prompt, better, worse)"""


def ours() -> list[Tokenized]:
    def text(name: str, prompt: list[int], answer: list[int]) -> Tokenized:
        return Tokenized(name, prompt + answer, [IGNORED] * len(prompt) + answer, len(prompt))

    return [
        replace(text(str(n), prompt, better), rejected=text(str(n), prompt, worse))
        for n, (prompt, better, worse) in enumerate(PAIRS)
    ]


@pytest.mark.skipif(importlib.util.find_spec("trl") is None, reason="trl is not installed in this environment")
def test_loss_and_gradient_are_those_of_trl(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations of what TRL imports
        from datasets import Dataset
        from trl import DPOConfig, DPOTrainer

        student, before = tiny_model(seed=0), tiny_model(seed=1)
        rows = [{"prompt_ids": p, "chosen_ids": b, "rejected_ids": w} for p, b, w in PAIRS]
        config = DPOConfig(str(tmp_path), beta=0.3, report_to="none", use_cpu=True, bf16=False, disable_tqdm=True)
        texts = Dataset.from_list([{"prompt": "a", "chosen": "b", "rejected": "c"}])
        trainer = DPOTrainer(student, before, args=config, train_dataset=texts, processing_class=tiny_tokenizer())
        trainer.model.train()
        theirs = trainer.compute_loss(trainer.model, trainer.data_collator(rows))
        theirs.backward()
    expected = {name: weight.grad.clone() for name, weight in student.named_parameters() if weight.grad is not None}
    student = tiny_model(seed=0).train()
    values = log_probs_before(before, pair_batches(ours(), 10**6, packing=False, pad_id=0), torch.device("cpu"))
    [batch] = pair_batches(with_log_probs(ours(), values), 10**6, packing=False, pad_id=0)
    signal = PairSource(0.3).signal(batch, 0)
    sums = objective(student, Task(None, LABELS_ONLY, signal.loss), batch)
    assert float(sums["loss"].detach()) / 2 == pytest.approx(float(theirs.detach()), rel=1e-5)  # TRL's is a mean
    (sums["loss"] / 2).backward()
    for name, weight in student.named_parameters():
        torch.testing.assert_close(weight.grad, expected[name], rtol=1e-4, atol=1e-6)
