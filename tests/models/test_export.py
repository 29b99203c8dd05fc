"""Exports load elsewhere, and one that is not the trained student is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from distil.errors import UserError, WorkFailed
from distil.models import parity
from distil.models.export import export, merge_adapter
from distil.models.load import Loaded, load
from distil.models.render import render_prompt
from tests.tiny import CHATML_WITHOUT_MARKERS, save_tiny, tiny_examples, tiny_tokenizer

PROMPTS = [render_prompt(tiny_tokenizer(), example.prompt_messages) for example in tiny_examples(3)]


@pytest.fixture
def student(tmp_path: Path) -> Path:
    return save_tiny(tmp_path / "student")


def adapter_of(base: Path, folder: Path) -> Path:
    loaded = load(str(base), device="cpu", adapter="lora")
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, weight in loaded.model.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.2, generator=generator)
    loaded.model.save_pretrained(folder)
    loaded.tokenizer.save_pretrained(folder)
    return folder


def test_a_merged_adapter_gives_the_same_answers(student: Path, tmp_path: Path) -> None:
    adapter = adapter_of(student, tmp_path / "adapter")
    found = merge_adapter(str(student), adapter, tmp_path / "merged", prompts=PROMPTS, device="cpu")
    assert found["greedy_equal"] == 1.0 and found["top_k_overlap"] > 0.99 and found["kl"] < 1e-6
    ids = torch.tensor([PROMPTS[0]])
    with_adapter = load(str(adapter), device="cpu").model(ids).logits
    torch.testing.assert_close(
        load(str(tmp_path / "merged"), device="cpu").model(ids).logits, with_adapter, atol=1e-4, rtol=1e-4
    )


def test_a_folder_export_in_another_dtype_is_compared_and_kept(student: Path, tmp_path: Path) -> None:
    found = export(student, tmp_path / "out", prompts=PROMPTS, dtype="bfloat16")
    assert found["kl"] < 0.01 and found["template_equal"]
    assert load(str(tmp_path / "out"), device="cpu", dtype="bfloat16").model.dtype == torch.bfloat16
    with pytest.raises(UserError, match="already exists and is not empty"):
        export(student, tmp_path / "out", prompts=PROMPTS)


def test_an_adapter_alone_says_what_it_needs(student: Path, tmp_path: Path) -> None:
    adapter = adapter_of(student, tmp_path / "adapter")
    assert export(student, tmp_path / "alone", prompts=PROMPTS, kind="adapter", adapter=adapter) == {}
    assert (tmp_path / "alone" / "adapter_config.json").exists()
    with pytest.raises(UserError, match="has no adapter"):
        export(student, tmp_path / "none", prompts=PROMPTS, kind="adapter")
    with pytest.raises(UserError, match="leave --dtype out"):
        export(student, tmp_path / "none", prompts=PROMPTS, kind="adapter", adapter=adapter, dtype="q8_0")
    with pytest.raises(UserError, match="expected one of float32, bfloat16, float16"):
        export(student, tmp_path / "none", prompts=PROMPTS, dtype="f16")


def test_a_different_student_is_refused(student: Path, tmp_path: Path) -> None:
    trained = load(str(student), device="cpu")
    other = load(str(save_tiny(tmp_path / "other", seed=9)), device="cpu")
    with torch.no_grad():
        other.model.lm_head.weight.mul_(30)
    with pytest.raises(WorkFailed, match="nats a token"):
        parity.require(parity.compare(trained, other, PROMPTS))
    template = load(str(save_tiny(tmp_path / "template", template=CHATML_WITHOUT_MARKERS)), device="cpu")
    with pytest.raises(WorkFailed, match="chat template or the tokenizer differs"):
        parity.require(parity.compare(trained, template, PROMPTS))
    endless = load(str(student), device="cpu")
    endless.model.config.eos_token_id = endless.model.generation_config.eos_token_id = 7
    with pytest.raises(WorkFailed, match="other tokens end an answer"):
        parity.require(parity.compare(trained, Loaded(endless.model, endless.tokenizer, "x", endless.device), PROMPTS))


def test_parity_needs_prompts(student: Path) -> None:
    loaded = load(str(student), device="cpu")
    with pytest.raises(UserError, match="there are none"):
        parity.compare(loaded, loaded, [])
