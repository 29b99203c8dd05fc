"""The shipped checkpoints: plain Hugging Face folders, small enough, one tokenizer, and as good as their cards say."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from distil.bundled.paths import MODELS
from tools.bundled_models.__main__ import LOGS
from tools.bundled_models.scores import copying_scores, task_scores, unseen_examples

PATHS = {name: MODELS / name for name in ("teacher", "student")}


@cache
def loaded(name: str) -> tuple[Any, Any]:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(PATHS[name], dtype=torch.float32, local_files_only=True)
    return model.eval(), AutoTokenizer.from_pretrained(PATHS[name], local_files_only=True)


def test_both_models_together_take_at_most_25_mb() -> None:
    assert sum(file.stat().st_size for file in MODELS.rglob("*") if file.is_file()) < 25_000_000


@pytest.mark.parametrize("name", sorted(PATHS))
def test_a_model_folder_is_plain_hugging_face_with_a_card(name: str) -> None:
    folder = PATHS[name]
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    assert config["architectures"] == ["LlamaForCausalLM"] and config["max_position_embeddings"] == 512
    generation = json.loads((folder / "generation_config.json").read_text(encoding="utf-8"))
    assert generation["eos_token_id"] == config["eos_token_id"] and generation["pad_token_id"] == config["pad_token_id"]
    assert (folder / "model.safetensors").exists() and not list(folder.glob("*.bin"))
    card = (folder / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert all(word in card for word in ("Data", "Training", "Scores", "Limits"))
    lines = [json.loads(line) for line in (LOGS / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]
    assert lines[-1]["tokens"] > 1_000_000


def test_models_share_a_tokenizer_and_differ_fivefold_in_size() -> None:
    one, other = (Path(path / "tokenizer.json").read_bytes() for path in PATHS.values())
    assert one == other
    (teacher, tokenizer), (student, _) = loaded("teacher"), loaded("student")
    assert teacher.num_parameters() >= 5 * student.num_parameters()
    assert len(tokenizer) == teacher.config.vocab_size == student.config.vocab_size
    assert tokenizer.convert_tokens_to_ids(tokenizer.eos_token) == teacher.config.eos_token_id


def test_the_teacher_does_the_task_on_unseen_messages() -> None:
    scores = task_scores(*loaded("teacher"), unseen_examples(48, seed=31))
    assert scores["fields"] > 0.8


def test_the_student_base_cannot_do_the_task_but_can_copy() -> None:
    model, tokenizer = loaded("student")
    assert task_scores(model, tokenizer, unseen_examples(16, seed=32))["fields"] < 0.05
    assert copying_scores(model, tokenizer, 16)["order_number"] > 0.7
