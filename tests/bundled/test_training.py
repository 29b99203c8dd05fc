"""The training of the bundled models on a very small scale: the tokenizer, batches, resuming, growing."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from distil.bundled.triage import SYSTEM, answer_text, generate
from tools.bundled_models.batches import Encoder, pad, pools, split_pool, task_document
from tools.bundled_models.grow import grow
from tools.bundled_models.loop import Plan, Run
from tools.bundled_models.skills.documents import END
from tools.bundled_models.tokenizer import train_tokenizer


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return train_tokenizer(tmp_path_factory.mktemp("tokenizer"), documents=300)


def small(tokenizer: Any, hidden: int, layers: int, seed: int = 0) -> Any:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=hidden, num_hidden_layers=layers, intermediate_size=2 * hidden,
        num_attention_heads=4, num_key_value_heads=4, max_position_embeddings=512, tie_word_embeddings=True,
    )  # fmt: skip
    return LlamaForCausalLM(config)


def plan(steps: int) -> Plan:
    return Plan("student", None, steps, 512, 0.03, 1e-2, task_share=(0.3, 0.3), random_share=0.2, pool=32)


def weights(model: Any) -> Any:
    import torch

    return torch.cat([p.detach().reshape(-1) for p in model.parameters()])


def test_the_tokenizer_splits_digits_and_round_trips_any_text(tokenizer: Any) -> None:
    for text in ("order 48213, ok?", '{"order_id":"900017"}', "naïve — 😀 日本\t\n x", " two  spaces "):
        assert tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]) == text
    tokens = tokenizer.convert_ids_to_tokens(tokenizer("#48213", add_special_tokens=False)["input_ids"])
    assert tokens[-5:] == list("48213")
    assert tokenizer.unk_token is None and tokenizer.eos_token == END


def test_the_chat_template_marks_exactly_the_answer_and_its_end(tokenizer: Any) -> None:
    example = generate(1)[0]
    answer = answer_text(example.reference)
    messages = [
        {"role": "system", "content": SYSTEM},
        {"role": "user", "content": example.message},
        {"role": "assistant", "content": answer},
    ]
    rendered = tokenizer.apply_chat_template(messages, return_dict=True, return_assistant_tokens_mask=True)
    marked = [token for token, mark in zip(rendered["input_ids"], rendered["assistant_masks"], strict=True) if mark]
    assert tokenizer.decode(marked) == answer + END
    opened = tokenizer.apply_chat_template(messages[:2], add_generation_prompt=True)["input_ids"]
    assert rendered["input_ids"][: len(opened)] == opened


def test_a_training_row_is_what_the_chat_template_gives(tokenizer: Any) -> None:
    doc = task_document(random.Random(3))
    ids, row_weights = Encoder(tokenizer).row(doc)
    assert tokenizer.decode(ids) == doc.text()
    answer = tokenizer.decode([token for token, weight in zip(ids, row_weights, strict=True) if weight == 1.0])
    assert doc.text().endswith(answer) and answer.startswith("{") and answer.endswith(END)


def test_rows_have_no_padding_after_the_tokenizer_padded(tokenizer: Any) -> None:
    """Calls with padding=True switch padding on inside the shared tokenizer; training once learned from such rows."""
    encoder, doc = Encoder(tokenizer), task_document(random.Random(4))
    before = encoder.row(doc)
    tokenizer(["a", "b c d e f"], padding=True, padding_side="left")
    assert encoder.row(doc) == before == Encoder(tokenizer).row(doc)


def test_pools_are_reproducible_and_batches_keep_every_row(tokenizer: Any) -> None:
    encoder = Encoder(tokenizer)
    first, again = (next(pools(encoder, "x", lambda: 0.3, 0.2, 7, 200)) for _ in range(2))
    assert first == again and first[0] == 7
    parts = split_pool(first[1], 4096, random.Random(0))
    assert sorted(map(str, first[1])) == sorted(str(row) for part in parts for row in part)
    batches = [pad(part, tokenizer.pad_token_id) for part in parts]
    assert max(batch.ids[:, 1:].numel() for batch in batches) <= 4096
    padded = sum(batch.ids.numel() for batch in batches)
    assert sum(batch.tokens for batch in batches) / padded > 0.8
    assert all((batch.weights[batch.ids == tokenizer.pad_token_id] == 0).all() for batch in batches)


def test_a_few_steps_lower_the_loss(tokenizer: Any, tmp_path: Path) -> None:
    run = Run(plan(25), small(tokenizer, 32, 1), tokenizer, tmp_path, lambda model: {})
    encoder = Encoder(tokenizer)
    rows = [encoder.row(task_document(random.Random(seed))) for seed in range(8)]
    before = run._loss(rows)[0].item()
    run.train()
    assert run._loss(rows)[0].item() < before - 0.8
    assert (tmp_path / "log.jsonl").read_text(encoding="utf-8").count("\n") == 1


def test_a_killed_run_resumes_to_the_same_weights(tokenizer: Any, tmp_path: Path) -> None:
    import torch

    whole = Run(plan(12), small(tokenizer, 16, 1), tokenizer, tmp_path, lambda model: {})
    whole.train()
    cut = Run(plan(12), small(tokenizer, 16, 1), tokenizer, tmp_path, lambda model: {})
    update = cut._update

    def stop_after_five(rows: Any) -> float:
        loss = update(rows)
        cut.stopped = cut.step == 5
        return loss

    cut._update = stop_after_five  # type: ignore[method-assign]
    cut.train()
    assert cut.step == 5
    resumed = Run(plan(12), small(tokenizer, 16, 1, seed=9), tokenizer, tmp_path, lambda model: {})
    resumed.load(tmp_path / "checkpoint.pt")
    resumed.train()
    assert resumed.step == 12
    torch.testing.assert_close(weights(resumed.model), weights(whole.model))
    torch.testing.assert_close(weights(resumed.averaged()), weights(whole.averaged()))


def test_the_learning_rate_warms_up_holds_and_falls_to_zero(tokenizer: Any, tmp_path: Path) -> None:
    run = Run(plan(1000), small(tokenizer, 16, 1), tokenizer, tmp_path, lambda model: {})
    rates = []
    for run.step in (0, 100, 600, 850, 1000):
        rates.append(round(run.rate(), 3))
    assert rates == [0.017, 1.0, 1.0, 0.5, 0.0]


def test_a_grown_model_computes_what_the_small_one_does(tokenizer: Any) -> None:
    import torch

    student, teacher = small(tokenizer, 32, 2), small(tokenizer, 64, 3)
    with torch.no_grad():
        for p in student.parameters():
            p.mul_(5.0 if p.ndim == 2 else 1.3)  # far from the start, so that attention is not uniform
        for p in teacher.parameters():
            p.zero_()  # rows that growing leaves alone then add nothing
    grow(student, teacher, noise=0.0)
    ids = torch.randint(0, len(tokenizer), (2, 40))
    with torch.no_grad():
        torch.testing.assert_close(teacher(input_ids=ids).logits, student(input_ids=ids).logits, rtol=1e-3, atol=1e-3)
