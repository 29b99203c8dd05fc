"""The loss and gradient of the engine are those of a plain loop over the own logits of a model, in families of different heads.

The loop knows nothing of Distil: transformers' forward one text at a time, softmax, log-softmax, a sum. Packed and padded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import transformers
from torch.nn.functional import cross_entropy, kl_div

from distil.models.unwrap import causal_model
from distil.objectives.settings import LossSettings
from distil.train.batches import micro_batches
from distil.train.examples import Tokenized
from distil.train.objective import Task, objective
from distil.train.packing import can_pack, use_packed
from distil.train.packing_proof import packs_exactly
from distil.train.signal.sources import OnlineSource
from tests.tiny import tiny_model
from tests.train.families import MAMBA, RENAMED, SIZES

TEMPERATURE, DISTILL, LABEL = 2.0, 0.7, 0.3


def falcon_h1() -> Any:
    """linkedin/Liger-Kernel#1477: its output layer's result is multiplied by lm_head_multiplier."""
    config = transformers.FalconH1Config(**SIZES, **MAMBA, mamba_d_ssm=64, lm_head_multiplier=0.0195)
    return transformers.FalconH1ForCausalLM(config)


def gemma2() -> Any:
    return transformers.Gemma2ForCausalLM(transformers.Gemma2Config(**SIZES, head_dim=8, final_logit_softcapping=2.0))


def decoding_bert() -> Any:
    """With a layer between its decoder and its output layer."""
    sizes: dict[str, Any] = {key: value for key, value in SIZES.items() if key != "num_key_value_heads"}
    return transformers.BertLMHeadModel(transformers.BertConfig(**sizes, is_decoder=True))


def nemotron() -> Any:
    """Its packed documents would see each other."""
    return transformers.NemotronForCausalLM(transformers.NemotronConfig(**SIZES, head_dim=8))


MAKERS: dict[str, Callable[[], Any]] = {
    "llama": tiny_model,
    **{make.__name__: make for make in (falcon_h1, gemma2, decoding_bert, nemotron)},
    **{name: RENAMED[name] for name in ("gemma3", "mixtral", "granite_hybrid", "deepseek_v3")},
}


def documents() -> list[Tokenized]:
    generator = torch.Generator().manual_seed(2)
    rows = [torch.randint(3, 300, (n,), generator=generator).tolist() for n in (13, 5, 21, 8)]
    return [Tokenized(str(n), ids, [-100] * 3 + ids[3:], 3) for n, ids in enumerate(rows)]


def by_a_plain_loop(student: Any, teacher: Any) -> torch.Tensor:
    """0.7 T^2 KL(teacher || student) at T = 2 and 0.3 cross-entropy, summed over the learned tokens."""
    total = torch.zeros(())
    for document in documents():
        ids = torch.tensor([document.input_ids])
        ours = student(input_ids=ids).logits[0, 2:-1].float()
        with torch.no_grad():
            theirs = teacher(input_ids=ids).logits[0, 2:-1].float()
        apart = kl_div(
            (ours / TEMPERATURE).log_softmax(-1),
            (theirs / TEMPERATURE).log_softmax(-1),
            reduction="sum",
            log_target=True,
        )
        total = total + DISTILL * TEMPERATURE**2 * apart + LABEL * cross_entropy(ours, ids[0, 3:], reduction="sum")
    return total


def gradient(model: Any) -> torch.Tensor:
    """All gradients in a row."""
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]).double()


@pytest.mark.parametrize("family", MAKERS)
def test_loss_and_gradient_are_those_of_a_plain_loop(family: str) -> None:
    torch.manual_seed(0)
    student = MAKERS[family]().eval()
    torch.manual_seed(1)
    teacher = MAKERS[family]().eval()
    expected = by_a_plain_loop(student, teacher)
    expected.backward()
    exact = gradient(student)
    settings = LossSettings(temperature=TEMPERATURE, distill_weight=DISTILL, label_weight=LABEL)
    for packing in (False, True):
        models = [causal_model(model) for model in (student, teacher)]
        if packing and not all(can_pack(model) for model in models):
            continue
        if packing:
            for model in models:
                use_packed(model)
            if not packs_exactly(models[0], documents(), 0):
                assert family == "nemotron"
                continue
        student.zero_grad()
        source, loss = OnlineSource([teacher], [1.0], packing=packing), 0.0
        for batch in micro_batches(documents(), 30, packing=packing, pad_id=0):
            sums = objective(models[0], Task(source.signal(batch, 0).targets, settings), batch)
            sums["loss"].backward()
            loss += float(sums["loss"].detach())
        assert loss == pytest.approx(float(expected.detach()), rel=1e-5)
        assert float((gradient(student) - exact).norm() / exact.norm()) < 1e-4
