"""Each proof passes on a sound model and finds the fault that it is there for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from distil.errors import UserError
from distil.models import proofs
from distil.models.load import Loaded, load, stop_ids
from distil.runs.jsonl import read_json, write_json
from tests.tiny import save_tiny, tiny_model, tiny_tokenizer
from tests.train.families import RENAMED


def loaded(model: Any) -> Loaded:
    return Loaded(model, tiny_tokenizer(), "tiny", torch.device("cpu"))


def test_the_proofs_pass_on_a_sound_model(tmp_path: Path) -> None:
    student = loaded(tiny_model())
    checks = [
        proofs.check_head(student.model),
        proofs.check_causal(student.model),
        proofs.check_end(student, [5, 6, 7], [2]),
        proofs.check_saving(student, tmp_path),
    ]
    assert all(check is not None and check.ok for check in checks), checks
    assert not list(tmp_path.iterdir())


def test_a_model_that_sees_what_follows_is_found() -> None:
    config = transformers.BertConfig(
        vocab_size=64, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2
    )
    assert not proofs.check_causal(transformers.BertLMHeadModel(config).eval()).ok
    config.is_decoder = True
    assert proofs.check_causal(transformers.BertLMHeadModel(config).eval()).ok


def test_sight_is_found_in_a_vocabulary_of_eight() -> None:
    config = transformers.BertConfig(
        vocab_size=8, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2
    )
    assert not proofs.check_causal(transformers.BertLMHeadModel(config).eval()).ok


def test_sight_is_told_from_rounding_in_sixteen_bits() -> None:
    """On a GPU an 8B model with 4-bit weights was refused: a text and its beginning differed by 6% of rounding alone."""
    config = transformers.BertConfig(
        vocab_size=64, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2
    )
    assert not proofs.check_causal(transformers.BertLMHeadModel(config).eval().to(torch.bfloat16)).ok
    config.is_decoder = True
    coarse = transformers.BertLMHeadModel(config).eval()
    original, lengths = coarse.bert.forward, set()

    def rounding_by_length(
        *args: Any, **options: Any
    ) -> Any:  # as kernels do, whose sums are cut by the number of rows
        found = original(*args, **options)
        lengths.add(found.last_hidden_state.shape[1])
        found.last_hidden_state = found.last_hidden_state * (1 + 0.02 * found.last_hidden_state.shape[1])
        return found

    coarse.bert.forward = rounding_by_length
    assert proofs.check_causal(coarse).ok and len(lengths) == 1


def test_generation_stops_at_a_taught_end_once_it_has_joined(tmp_path: Path) -> None:
    """Base models with ChatML never stopped (TRL's "align the EOS token", trl#734, axolotl#3754, #3756)."""
    student = loaded(tiny_model())
    taught = int(student.tokenizer.convert_tokens_to_ids("<|im_start|>"))
    assert not proofs.check_end(student, [5, 6], [2, taught]).ok
    assert not proofs.check_end(student, [5, 6], []).ok
    assert proofs.join_ends(student.model, [2, taught]) == [taught] and proofs.join_ends(student.model, [taught]) == []
    assert proofs.check_end(student, [5, 6], [2, taught]).ok
    student.model.save_pretrained(tmp_path)
    student.tokenizer.save_pretrained(tmp_path)
    read = load(str(tmp_path), device="cpu")
    assert taught in stop_ids(read.model, read.tokenizer)


def test_taught_ends_are_written_into_a_saved_folder(tmp_path: Path) -> None:
    folder = save_tiny(tmp_path)
    proofs.write_ends(folder, [2, 1])
    assert read_json(folder / "generation_config.json")["eos_token_id"] == [2, 1]
    (folder / "generation_config.json").unlink()
    proofs.write_ends(folder, [1])
    assert stop_ids(load(str(folder), device="cpu").model, tiny_tokenizer()) == {1, 2}


@pytest.mark.parametrize("family", RENAMED)
def test_every_family_is_read_back_whole(family: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    check = proofs.check_saving(loaded(RENAMED[family]().eval()), tmp_path)
    assert check is not None and check.ok, check


def test_a_tensor_that_is_lost_or_changed_in_saving_is_named(tmp_path: Path) -> None:
    student, folder = loaded(tiny_model()), save_tiny(tmp_path)
    assert proofs.unlike_saved(student.model, folder) == []
    with torch.no_grad():
        student.model.model.norm.weight += 1e-6
    assert proofs.unlike_saved(student.model, folder) == ["1 tensors have other values (model.norm.weight)"]
    faults = proofs.unlike_saved(tiny_model(layers=1), folder)
    assert faults[0].startswith("9 tensors are new (model.layers.1.")


def test_a_model_with_missing_tensors_is_not_loaded(tmp_path: Path) -> None:
    """transformers fills them with random numbers."""
    from safetensors.torch import load_file, save_file

    file = save_tiny(tmp_path) / "model.safetensors"
    tensors = load_file(str(file))
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, str(file), metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"not a whole .*1 of its tensors .*model\.layers\.1\.mlp\.up_proj\.weight"):
        load(str(tmp_path), device="cpu")


def test_code_that_comes_with_a_model_is_refused_unasked(tmp_path: Path) -> None:
    """transformers asks `[y/N]` on the terminal, and waits for it."""
    config = read_json(save_tiny(tmp_path) / "config.json")
    auto = {"AutoConfig": "mine.MyConfig", "AutoModelForCausalLM": "mine.MyModel"}
    write_json(tmp_path / "config.json", {**config, "model_type": "mine", "auto_map": auto})
    (tmp_path / "mine.py").write_text("raise SystemExit('this code ran')\n")
    with pytest.raises(UserError, match="Python code that comes with the model, which Distil does not run"):
        load(str(tmp_path), device="cpu")
