"""The proofs at the start of a training: what is not as it must be stops it, or the safe way is taken and said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from transformers import AttentionInterface

from distil.errors import UserError, WorkFailed
from distil.models import proofs
from distil.models.load import load, stop_ids
from distil.runs.jsonl import read_json, write_json
from distil.train import saving, stage
from distil.train.examples import Tokenized
from distil.train.packing import NAME, can_pack, packed_attention, use_packed
from distil.train.packing_proof import packs_exactly
from tests.tiny import tiny_model, tiny_tokenizer
from tests.train.conftest import Bench
from tests.train.families import SIZES
from tests.train.test_stage import quick


def documents(*lengths: int) -> list[Tokenized]:
    rows = [[3 + (7 * n + i) % 300 for i in range(length)] for n, length in enumerate(lengths)]
    return [Tokenized(str(n), ids, [-100, *ids[1:]], 1) for n, ids in enumerate(rows)]


def test_a_family_whose_packed_documents_mix_is_padded(
    bench: Bench, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """functionary#132, alignment-handbook#204: Nemotron's layers do not hand the layout on to their attention."""
    torch.manual_seed(0)
    model = transformers.NemotronForCausalLM(transformers.NemotronConfig(**SIZES, head_dim=8))
    model.save_pretrained(tmp_path / "nemotron")
    tiny_tokenizer().save_pretrained(tmp_path / "nemotron")
    assert can_pack(model)  # by everything that it says of itself
    student = bench.student.model_copy(update={"model": str(tmp_path / "nemotron")})
    for name, packing in (("packed", True), ("padded", False)):
        section = quick(epochs=1, packing=packing, validation_examples=0)
        losses = stage.run(bench.project, section, student, name=name).facts["final"]
        assert losses is not None
    one, other = (read_json_lines(bench, name) for name in ("packed", "padded"))
    assert one == pytest.approx(other, rel=1e-5)
    said = capfd.readouterr().err
    assert said.count("(NemotronForCausalLM) differs from its documents alone: packing is off") == 1


def read_json_lines(bench: Bench, name: str) -> list[float]:
    from tests.train.test_stage import lines

    return [line["loss"] for line in lines(bench, name) if "loss" in line]


def without_window(*args: Any, sliding_window: int | None = None, **options: Any) -> Any:
    return packed_attention(*args, **options)


def test_packing_is_proven_where_a_sliding_window_matters() -> None:
    """Documents within the window look right even where the window is ignored."""
    torch.manual_seed(0)
    config = transformers.MistralConfig(**SIZES, sliding_window=16, initializer_range=0.3)
    model = transformers.MistralForCausalLM(config).eval()
    use_packed(model)
    assert packs_exactly(model, documents(9, 12, 40), 0) and packs_exactly(model, documents(9), 0)
    AttentionInterface.register(NAME, without_window)
    try:
        assert packs_exactly(model, documents(9, 12), 0) and not packs_exactly(model, documents(9, 12, 40), 0)
    finally:
        AttentionInterface.register(NAME, packed_attention)


def test_a_base_model_stops_at_the_end_that_it_is_taught(
    bench: Bench, own_student: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Qwen's base models end texts with <|endoftext|> and are taught <|im_end|> by ChatML; they never stopped."""
    model = tiny_model()
    model.config.eos_token_id = model.generation_config.eos_token_id = 0
    model.save_pretrained(own_student)
    tokenizer = tiny_tokenizer()
    tokenizer.eos_token = "<|pad|>"
    tokenizer.save_pretrained(own_student)
    assert stop_ids(load(str(own_student), device="cpu").model, tokenizer) == {0}
    for adapter in (None, "lora"):
        student = bench.student.model_copy(update={"model": str(own_student), "adapter": adapter, "lora_rank": 4})
        result = stage.run(bench.project, quick(epochs=1), student, name=adapter or "full")
        assert read_json(result.model / "generation_config.json")["eos_token_id"] == [0, 2]
        assert "The answers end with <|im_end|>, and" in capfd.readouterr().err
        assert any(line.startswith("generation stops at the end that is taught") for line in result.facts["checks"])
    folder = bench.project.stage("train", "lora") / "adapter"
    with_adapter = load(str(folder), device="cpu")
    assert stop_ids(with_adapter.model, with_adapter.tokenizer) == {0, 2}
    assert "More Information Needed" not in (folder / "README.md").read_text()
    assert f"base_model: {own_student}" in (folder / "README.md").read_text()


def test_a_failed_proof_stops_the_training(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proofs, "unlike_saved", lambda model, folder: ["3 tensors are missing (a, b, c)"])
    with pytest.raises(WorkFailed, match=r"read back whole \(3 tensors are missing .*Nothing was trained"):
        stage.run(bench.project, quick(), bench.student, name="x")
    assert not bench.project.model("x").exists()


def test_a_student_that_is_not_saved_whole_keeps_a_checkpoint(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saving, "unlike_saved", lambda model, folder: ["1 tensors have other values (a)"])
    with pytest.raises(WorkFailed, match=r"could not be saved whole: .*weights are kept in .*checkpoint-6"):
        stage.run(bench.project, quick(), bench.student, name="x")
    monkeypatch.undo()
    result = stage.run(bench.project, quick(), bench.student, name="x")
    assert result.facts["resumed_from"] == "checkpoint-6" and result.steps == 6


def test_an_encoder_is_not_trained(bench: Bench, tmp_path: Path) -> None:
    sizes: dict[str, Any] = {key: value for key, value in SIZES.items() if key != "num_key_value_heads"}
    model = transformers.BertLMHeadModel(transformers.BertConfig(**sizes))
    model.save_pretrained(tmp_path / "bert")
    tiny_tokenizer().save_pretrained(tmp_path / "bert")
    write_json(tmp_path / "bert" / "config.json", read_json(tmp_path / "bert" / "config.json") | {"is_decoder": False})
    student = bench.student.model_copy(update={"model": str(tmp_path / "bert")})
    with pytest.raises((WorkFailed, UserError), match=r"no token sees what follows it|encoder"):
        stage.run(bench.project, quick(), student, name="x")
