"""The engine on tiny random models of the families people use; with DISTIL_MATRIX=FILE.md on every family of transformers.

What is right for one architecture is silently wrong for another: other heads, caches, checkpoint names, adapters. Each family
must pass every check, or be refused in one paragraph (huggingface/transformers#30316, linkedin/Liger-Kernel#1477).
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from distil.errors import UserError
from distil.models.families import require_causal
from distil.models.generate import generate
from distil.models.load import Loaded, Lora, load, stop_ids
from distil.models.lora import fresh_adapter
from distil.models.proofs import check_causal
from distil.models.rows import ways
from distil.models.unused import freeze_unused
from distil.objectives.settings import LABELS_ONLY
from distil.records import Sampling
from distil.train.batches import micro_batches
from distil.train.examples import Tokenized
from distil.train.objective import Task, objective
from distil.train.packing import can_pack, use_packed
from distil.train.packing_proof import packs_exactly
from tests.families import USED, VOCABULARY, all_families, tiny_family
from tests.tiny import save_tiny, tiny_tokenizer

LENGTHS = (13, 4, 11, 4, 7)


def texts(seed: int = 1) -> list[list[int]]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randint(3, 300, (n,), generator=generator).tolist() for n in LENGTHS]


def greedy(model: PreTrainedModel, prompt: list[int], stops: set[int], tokens: int = 8) -> list[int]:
    """One by one, from the model's plain forward: no cache, no padding, no code of ours."""
    ids = list(prompt)
    with torch.no_grad():
        for _ in range(tokens):
            ids.append(int(model(input_ids=torch.tensor([ids])).logits[0, -1].argmax()))
            if ids[-1] in stops:
                break
    return ids[len(prompt) :]


def check_generation(model: PreTrainedModel) -> str:
    """Rows of a batch that end at different times are what greedy decoding of each alone gives."""
    tokenizer, prompts = tiny_tokenizer(), texts()
    model.generation_config.eos_token_id = greedy(model, prompts[1], set(), 4)[
        -1
    ]  # so that rows end at different times
    loaded = Loaded(model, tokenizer, "tiny", torch.device("cpu"))
    expected = [greedy(model, prompt, stop_ids(model, tokenizer)) for prompt in prompts]
    found = [answer.token_ids for answer in generate(loaded, prompts, Sampling(temperature=0, max_tokens=8))]
    assert found == expected
    how = ways(model)
    notes = ["" if how.cache else "no cache", "" if how.pads else "equal lengths", "" if how.narrows else "rows stay"]
    return ", ".join(filter(None, notes)) or "ok"


def batches(packing: bool) -> list[Any]:
    rows = [Tokenized(str(i), ids, [-100, *ids[1:]], 1) for i, ids in enumerate(texts(2))]
    return micro_batches(rows, 100, packing=packing, pad_id=0)


def own_loss(model: PreTrainedModel) -> torch.Tensor:
    """The sum of the cross-entropies by the model's own logits, one text at a time."""
    total = torch.zeros(())
    for ids in texts(2):
        logits = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, :-1].float()
        total = total + cross_entropy(logits, torch.tensor(ids[1:]), reduction="sum")
    return total


def check_loss(model: PreTrainedModel) -> str:
    """The training's loss is the model's own."""
    with torch.no_grad():
        found = sum(objective(model, Task(None, LABELS_ONLY), batch)["loss"] for batch in batches(packing=False))
        torch.testing.assert_close(found, own_loss(model), rtol=1e-4, atol=1e-3)
    return "ok"


def check_packing(model: PreTrainedModel) -> str:
    """Packed texts don't see each other, or the family is not packed, as the training itself decides."""
    if not can_pack(model):
        return "padded"
    with torch.no_grad():
        expected = own_loss(model)
        use_packed(model)
        rows = [example for batch in batches(packing=True) for example in batch.examples]
        if not packs_exactly(model, rows, 0):
            return "padded (packed differs)"
        found = sum(objective(model, Task(None, LABELS_ONLY), batch)["loss"] for batch in batches(packing=True))
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-3)
    return "ok"


def check_adapter(model: PreTrainedModel) -> str:
    """Every matrix of an adapter gets a gradient, and the merged model is base + adapter."""
    adapted = fresh_adapter(model, Lora(rank=4, alpha=8))
    ids = torch.tensor([row[:4] for row in texts(3)] * 8)
    with torch.no_grad():
        for name, weight in adapted.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.05)
    logits = adapted.train()(input_ids=ids).logits
    logits.float().square().mean().backward()
    trained = {name: weight.grad for name, weight in adapted.named_parameters() if "lora_" in name}
    silent = [name for name, grad in trained.items() if grad is None and not MAY_BE_SILENT.search(name)]
    assert trained and not silent, silent
    adapted.eval()
    with torch.no_grad():
        expected = adapted(input_ids=ids).logits
        torch.testing.assert_close(adapted.merge_and_unload()(input_ids=ids).logits, expected, rtol=1e-3, atol=1e-3)
    return f"{len(trained) // 2} layers"


def check_saving(model: PreTrainedModel, folder: Path) -> str:
    """What is saved comes back, every tensor of it."""
    model.save_pretrained(folder)
    again, report = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"] and not report["mismatched_keys"], report
    state = again.state_dict()
    for name, value in model.state_dict().items():
        torch.testing.assert_close(state[name], value, rtol=0, atol=0, msg=name)
    require_causal(AutoConfig.from_pretrained(folder), str(folder))
    return "ok"


MAY_BE_SILENT = re.compile(r"\.(experts|indexer|compressor)\.")
"""An expert may be chosen by no token, what picks DeepSeek-V3.2's tokens has no gradient, and V4 compresses longer texts only."""
NOT_TRIED = {
    "kimi_linear": "not tried: transformers' reference code of its linear attention takes 16 GB for this tiny model"
}
CHECKS: dict[str, Callable[[PreTrainedModel], str]] = {
    "loss": check_loss,
    "generation": check_generation,
    "packing": check_packing,
    "LoRA": check_adapter,
}


@pytest.mark.parametrize("family", USED)
def test_a_family_is_right_in_every_stage(family: str, tmp_path: Path) -> None:
    check_saving(tiny_family(family), tmp_path)
    model = tiny_family(family)
    for check in CHECKS.values():
        check(model)


def outcome(check: Callable[[], str]) -> str:
    """A cell of the table: what the check found, the refusal, or the failure."""
    try:
        return check()
    except UserError as error:
        return f"refused: {str(error)[:90]}"
    except Exception as error:
        return f"**{type(error).__name__}**: {str(error).strip().splitlines()[0][:90] if str(error).strip() else ''}"


def row(family: str, folder: Path) -> list[str]:
    if family in NOT_TRIED:
        return [NOT_TRIED[family]]
    try:
        model = tiny_family(family)
    except Exception as error:
        return [f"not built: {type(error).__name__}: {str(error).splitlines()[0][:90]}"]
    try:
        require_causal(model.config, family)
    except UserError as error:
        return [str(error)]
    proof = check_causal(model)
    if not proof.ok:
        return [f"refused by a proof at the start: not true that {proof.name} ({proof.detail})"]
    cells = [outcome(lambda: check_saving(model, folder))]
    return cells + [outcome(lambda check=check: check(tiny_family(family))) for check in CHECKS.values()]  # type: ignore[misc]


@pytest.mark.skipif("DISTIL_MATRIX" not in os.environ, reason="set DISTIL_MATRIX=FILE.md for all families (10 minutes)")
def test_every_family_of_transformers_passes_or_is_refused(tmp_path: Path) -> None:
    lines = ["| family | saving | " + " | ".join(CHECKS) + " |", "|" + "---|" * (len(CHECKS) + 2)]
    for family in all_families():
        cells = [cell.replace("|", "/").replace("\n", " ") for cell in row(family, tmp_path / family)]
        lines.append(f"| {family} | " + " | ".join(cells) + " |" * (len(CHECKS) + 2 - len(cells)))
        Path(os.environ["DISTIL_MATRIX"]).write_text("\n".join(lines) + "\n")
    assert not [line for line in lines if "**" in line]


@pytest.mark.parametrize(
    ("config", "what"),
    [
        ("T5Config", "an encoder-decoder"),
        ("BartConfig", "an encoder-decoder"),
        ("BertConfig", "an encoder, which reads text in both directions"),
        ("ModernBertConfig", "an encoder"),
        ("Qwen2VLConfig", "a vision-language model"),
        ("WhisperConfig", "an encoder-decoder"),
        ("TrOCRConfig", "reads images of text"),
        ("ViTConfig", "an image model"),
    ],
)
def test_other_kinds_of_models_are_called_by_their_name(config: str, what: str, tmp_path: Path) -> None:
    import transformers

    getattr(transformers, config)().save_pretrained(tmp_path)
    with pytest.raises(UserError, match=what) as error:
        load(str(tmp_path))
    assert "not a causal language model" in str(error.value) and "\n" not in str(error.value)


def test_an_image_tower_that_text_never_reaches_is_frozen() -> None:
    from transformers import Gemma3Config, Gemma3ForConditionalGeneration

    text = tiny_family("gemma3_text").config.to_dict()
    vision = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
              "image_size": 28, "patch_size": 14}  # fmt: skip
    model = Gemma3ForConditionalGeneration(
        Gemma3Config(
            text_config=text,
            vision_config=vision,
            mm_tokens_per_image=4,
            image_token_id=5,
            boi_token_id=6,
            eoi_token_id=7,
        )
    ).eval()
    frozen = freeze_unused(model)
    assert frozen and all("vision_tower" in name or "multi_modal_projector" in name for name in frozen)
    assert all(weight.requires_grad for name, weight in model.named_parameters() if "language_model" in name)
    assert all(weight.grad is None for weight in model.parameters())
    assert freeze_unused(tiny_family("mixtral")) == []


def test_an_adapter_that_peft_refuses_is_one_paragraph(tmp_path: Path) -> None:
    loaded = load(str(save_tiny(tmp_path)), device="cpu")
    for module in loaded.model.modules():
        for name, child in list(module.named_children()):
            if isinstance(child, torch.nn.Linear) and child is not loaded.model.lm_head:
                setattr(module, name, Plain(child))
    with pytest.raises(UserError, match=r"no linear layer .*student\.adapter to null"):
        fresh_adapter(loaded.model, Lora())


class Plain(torch.nn.Module):
    """A layer of a kind that PEFT doesn't know."""

    def __init__(self, linear: torch.nn.Linear) -> None:
        super().__init__()
        self.weight, self.bias = linear.weight, linear.bias

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.linear(inputs, self.weight, self.bias)


def test_the_quick_families_are_families_of_transformers() -> None:
    assert set(USED) <= set(all_families()) and tiny_family("llama").config.vocab_size == VOCABULARY
