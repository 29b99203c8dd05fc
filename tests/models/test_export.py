"""Exports load elsewhere, and one that is not the trained student is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from distil.errors import UserError, WorkFailed
from distil.models import parity
from distil.models.export import export, merge_adapter
from distil.models.load import Loaded, Lora, load
from distil.models.render import render_prompt
from distil.runs.jsonl import read_json
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


@pytest.fixture(scope="module")
def trained() -> Loaded:
    """A student that learned something: its distributions are those of a real model, with clear and unclear tokens."""
    return load("bundled/student", device="cpu")


@pytest.fixture(scope="module")
def asked(trained: Loaded) -> list[list[int]]:
    return [render_prompt(trained.tokenizer, example.prompt_messages) for example in tiny_examples(3)]


def test_rounding_is_no_difference(trained: Loaded, asked: list[list[int]]) -> None:
    for dtype in ("bfloat16", "float16"):
        rounded = load("bundled/student", device="cpu", dtype=dtype)
        parity.require(parity.compare(trained, rounded, asked, max_tokens=24))


Fault = Callable[[Loaded], None]


def scaled_logits(loaded: Loaded) -> None:
    loaded.model.model.norm.weight.mul_(1.02)


def swapped_tensors(loaded: Loaded) -> None:
    first, second = (loaded.model.model.layers[i].self_attn.q_proj.weight for i in (0, 1))
    first.copy_(second.clone())


def another_end(loaded: Loaded) -> None:
    loaded.model.config.eos_token_id = loaded.model.generation_config.eos_token_id = 7


def another_template(loaded: Loaded) -> None:
    loaded.tokenizer.chat_template = CHATML_WITHOUT_MARKERS


def stale_tokenizer(loaded: Loaded) -> None:
    loaded.tokenizer.add_tokens(["<|added later|>"])


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (scaled_logits, r"its logits are 1\.0[12]\d times"),
        (swapped_tensors, "nats a token"),
        (another_end, "other tokens end an answer"),
        (another_template, "chat template or the tokenizer differs"),
        (stale_tokenizer, "chat template or the tokenizer differs"),
    ],
)
def test_a_mistake_is_refused(fault: Fault, message: str, trained: Loaded, asked: list[list[int]]) -> None:
    other = load("bundled/student", device="cpu")
    with torch.no_grad():
        fault(other)
    found = parity.compare(trained, other, asked, max_tokens=24)
    with pytest.raises(WorkFailed, match=message):
        parity.require(found)
    if parity.differences(found):  # a distribution may be accepted; another template or end may not
        parity.require(found, accept=True)
    else:
        with pytest.raises(WorkFailed, match=message):
            parity.require(found, accept=True)


def test_a_merge_of_another_strength_is_refused(trained: Loaded, asked: list[list[int]], tmp_path: Path) -> None:
    adapted = load("bundled/student", device="cpu", adapter=Lora(4, 8))
    with torch.no_grad():
        torch.manual_seed(0)
        for name, weight in adapted.model.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.004)
    adapted.model.save_pretrained(tmp_path)
    doubled = load("bundled/student", device="cpu", adapter=str(tmp_path))
    for module in doubled.model.modules():
        if isinstance(getattr(module, "scaling", None), dict):
            module.scaling = {name: 2 * value for name, value in module.scaling.items()}
    merged = Loaded(doubled.model.merge_and_unload(), trained.tokenizer, "doubled", trained.device)
    found = parity.compare(adapted, merged, asked, max_tokens=24)
    assert found.effect is not None and found.kl < 2 * found.effect < 0.01  # too little for a limit on distributions
    right = load("bundled/student", device="cpu", adapter=str(tmp_path)).model.merge_and_unload()
    for dtype in (torch.float32, torch.bfloat16):
        parity.require(
            parity.compare(
                adapted, Loaded(right.to(dtype), trained.tokenizer, "", trained.device), asked, max_tokens=24
            )
        )
    for wrong in (merged, trained):  # twice its strength, and lost
        with pytest.raises(WorkFailed, match=r"it has (2\.0|1\.9|0\.0)\d times the change"):
            parity.require(parity.compare(adapted, wrong, asked, max_tokens=24))


def test_a_failed_merge_leaves_the_adapter(student: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    adapter = adapter_of(student, tmp_path / "adapter")
    monkeypatch.setattr(parity, "MAX_KL", -1.0)
    with pytest.raises(WorkFailed, match="The training is not lost: its adapter is in"):
        merge_adapter(str(student), adapter, tmp_path / "merged", prompts=PROMPTS, device="cpu")
    assert (adapter / "adapter_model.safetensors").exists() and not (tmp_path / "merged").exists()


def test_a_merge_too_coarse_in_16_bits_is_made_in_32(
    student: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = adapter_of(student, tmp_path / "adapter")
    monkeypatch.setattr(parity, "MAX_KL", 1e-9)
    found = merge_adapter(str(student), adapter, tmp_path / "m", prompts=PROMPTS, device="cpu", dtype="bfloat16")
    assert found["kl"] < 1e-9 and load(str(tmp_path / "m"), device="cpu").model.dtype == torch.float32


def test_the_figures_are_kept_beside_an_export(student: Path, tmp_path: Path) -> None:
    found = export(student, tmp_path / "out", prompts=PROMPTS, accept=True)
    assert read_json(tmp_path / "out" / "parity.json") == found and found["accepted"] == []


def test_parity_needs_prompts(student: Path) -> None:
    loaded = load(str(student), device="cpu")
    with pytest.raises(UserError, match="there are none"):
        parity.compare(loaded, loaded, [])
