"""What writing and trying take, by the formulas of the plan, beside what the code allocates on a small model."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from distil.config import parse_config
from distil.fit import _tried as tried_of
from distil.fit import training_need, what_fits
from distil.models.generate import generate
from distil.models.load import Loaded
from distil.models.rows import Rows, Ways
from distil.models.shape import Shape, config_of
from distil.models.sizing import GIB, Machine
from distil.plan.hardware import hours_of
from distil.records import Message, Prompt, Sampling
from distil.runs.artifacts import Project
from distil.runs.jsonl import write_records
from distil.train.config import TrainConfig
from distil.train.examples import Tokenized
from distil.train.footprint import plain_footprint
from distil.train.peak import Setup, Texts, smaller, training_memory
from distil.train.range_test import _unchanged
from distil.train.rate import untestable
from distil.train.rollouts import Rollouts
from distil.train.writing import Writing, cache_bytes, writing_bytes, writing_of
from tests.tiny import tiny_tokenizer

LLAMA = {
    "model_type": "llama", "hidden_size": 64, "num_hidden_layers": 4, "intermediate_size": 192, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 32, "vocab_size": 1024, "tie_word_embeddings": True, "max_position_embeddings": 512,
}  # fmt: skip
CPU, H100 = Machine(8, 16 * GIB, None, 0, 0), Machine(16, 128 * GIB, "NVIDIA H100 80GB HBM3", 1, 80 * GIB)


@pytest.fixture(scope="module")
def loaded() -> Loaded:
    model = AutoModelForCausalLM.from_config(config_of(json.dumps(LLAMA)), dtype=torch.float32)
    model.generation_config.eos_token_id = None  # texts as long as they may be
    tokenizer = tiny_tokenizer()
    return Loaded(model, tokenizer, "m", torch.device("cpu"))


def shape(parameters: int) -> Shape:
    return Shape(parameters, 64, 4, "config.json", 1024, 1024 * 64, parameters, json.dumps(LLAMA))


def peak_of(work: Callable[[], object]) -> int:
    """Bytes that torch has allocated at once, above what was there."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        work()
    events = [e for e in profile.profiler.kineto_results.events() if e.name() == "[memory]"]  # type: ignore[union-attr]
    now = most = 0
    for event in sorted(events, key=lambda each: each.start_ns()):
        now += event.nbytes()
        most = max(most, now)
    return most


def test_the_cache_is_what_the_rows_keep(loaded: Loaded) -> None:
    rows = Rows(loaded.model, [[5] * 40] * 3, 0, 24, Ways())
    with torch.inference_mode():
        for _ in range(24):
            rows.append(rows.logits().argmax(-1))
    assert rows.cache is not None
    held = [buffer.nbytes for layer in rows.cache.layers for buffer in layer._buffers]  # type: ignore[union-attr]
    assert sum(held) == 3 * 64 * cache_bytes(json.dumps(LLAMA), 4)


@pytest.mark.parametrize(("prompt", "tokens", "top_p"), [(24, 50, 1.0), (24, 50, 0.9), (240, 4, 1.0)])
def test_writing_takes_what_is_counted(loaded: Loaded, prompt: int, tokens: int, top_p: float) -> None:
    """The cache and the draw for long texts, the reading of the prompts for long prompts, of unlike lengths."""
    texts = [[5] * (prompt - number) for number in range(8)]
    sampling = Sampling(temperature=1.0, top_p=top_p, max_tokens=tokens)
    generate(loaded, texts[:2], Sampling(max_tokens=2), seed=0)  # what the model can do is measured once
    measured = peak_of(lambda: generate(loaded, texts, sampling, seed=0))
    writing = Writing(8, 1.0, prompt, tokens, nucleus=top_p < 1)
    widest = plain_footprint(LLAMA, rank=None, half=False, parameters=0).widest
    counted = writing_bytes(writing, shape(0), rows=8, size=4, widest=widest)
    assert counted == pytest.approx(measured, rel=0.2)


def test_no_step_writes_more_at_once_than_is_counted() -> None:
    section = TrainConfig(method="on_policy", on_policy_share=0.5, batch_size=32)
    found = writing_of(section, prompt=3, answer=9, count=None)
    assert found is not None and (found.tokens, found.of_training) == (9, 0.5)
    examples = [Tokenized(f"e{number}", [1, 2, 3], [-100, 2, 3], 1) for number in range(32)]
    rollouts = Rollouts(lambda *asked: [], share=0.5, sampling=Sampling(), context=None, seed=0)
    counts = [sum(rollouts._is_rolled_out(example, step) for example in examples) for step in range(200)]
    assert max(counts) <= found.rows(1) < 32 and found.rows(2) < found.rows(1)


def test_the_copy_of_a_rate_test_is_counted(loaded: Loaded) -> None:
    trained = sum(parameter.numel() for parameter in loaded.model.parameters())

    def copied() -> None:
        with _unchanged(loaded.model, torch.device("cpu")):
            pass

    assert peak_of(copied) == pytest.approx(4 * trained, rel=0.01)
    setup = Setup(shape(trained), gpu=False, micro_tokens=2048, texts=Texts(100, 120, 0.3), tried=960)
    memory, plain = training_memory(setup), training_memory(replace(setup, tried=0))
    assert memory.trying - sum(memory[:6]) == 4 * trained and memory.total == memory.trying
    assert plain.trying == 0 and plain[:7] == memory[:7]
    assert training_memory(smaller(setup, gpu=True)).trying == 0  # the copy is in RAM
    assert training_memory(smaller(setup, processes=2)).trying == 0  # no test is made
    few = training_memory(replace(setup, tried=60))  # two texts in a step
    assert few.trying - 4 * trained < sum(memory[:6])


def planned(folder: Path, machine: Machine, **train: object) -> tuple[Setup, float]:
    """(the setup, hours of 10 million tokens)"""
    sections = {"prompts": {"path": "p"}, "teachers": [{"model": "local/x-1B"}], "student": {"model": "x/small-1B"}}
    need = training_need(Project(folder), parse_config({**sections, "train": train}, "test"), machine)
    assert need is not None
    hours = hours_of(need.setup, 10_000_000, machine)
    assert hours is not None
    return need.setup, hours


def test_no_rates_are_counted_where_none_are_tried(tmp_path: Path) -> None:
    """LoRA, a student that Distil has trained, and dpo: by the rule that the training asks."""
    project = Project(tmp_path)
    write_records(project.prompts, [Prompt.make([Message(role="user", content=f"question {n}")]) for n in range(2000)])
    project.model("sft").mkdir(parents=True)
    (project.stage("train", "sft") / "run.json").write_text("{}")
    sections = {"prompts": {"path": "p"}, "teachers": [{"model": "local/x-1B"}], "student": {"model": "x/small-1B"}}
    fresh = parse_config(sections, "test")
    trained = parse_config(sections | {"student": {"model": "work/train/sft/model"}}, "test")
    assert tried_of(project, fresh)[0] > 0 and untestable(fresh.train, fresh.student) is None
    assert tried_of(project, trained) == (0, 0.0)
    lora = {"student": {"model": "x/small-1B", "adapter": "lora"}}
    assert tried_of(project, parse_config(sections | lora, "test")) == (0, 0.0)
    assert tried_of(project, parse_config(sections | {"train": {"method": "dpo"}}, "test")) == (0, 0.0)


def test_the_forecast_counts_the_steps_of_both(tmp_path: Path) -> None:
    prompts = [Prompt.make([Message(role="user", content=f"question {number} " * 20)]) for number in range(2000)]
    write_records(Project(tmp_path).prompts, prompts)
    _, fixed = planned(tmp_path, CPU, method="sft", learning_rate=1e-4, epochs=2)
    auto, tried = planned(tmp_path, CPU, method="sft", learning_rate="auto", epochs=2)
    assert auto.tried == 144 and tried == pytest.approx(1.05 * fixed)  # 5% of two epochs of 1,440
    assert planned(tmp_path, CPU, method="sft", learning_rate="auto", epochs=2, processes=2)[1] == pytest.approx(fixed)
    _, logits = planned(tmp_path, CPU, method="logits")
    alone, on_policy = planned(tmp_path, CPU, method="on_policy")
    _, later = planned(tmp_path, CPU, method="on_policy", sft_epochs=1.5)
    served, elsewhere = planned(tmp_path, CPU, method="on_policy", rollout_server="http://h/v1#m")
    assert alone.writing is not None and served.writing is None
    assert logits == elsewhere < later < on_policy
    both, together = planned(tmp_path, CPU, method="on_policy", rollout_teacher_top_k=25)
    assert together > on_policy and training_memory(both).writing > training_memory(alone).writing
    dpo, _ = planned(tmp_path, CPU, method="dpo")
    assert dpo.writing is not None and dpo.writing.first and dpo.writing.rows(1) == 64


def test_weights_are_not_split_where_the_student_writes(tmp_path: Path) -> None:
    """`distil train` refuses that: the plan must not advise it."""
    eight = H100._replace(gpus=8)
    sections = {"prompts": {"path": "p"}, "teachers": [{"model": "local/x-1B"}], "student": {"model": "x/large-8B"}}
    for method, splits in (("on_policy", False), ("logits", True)):
        config = parse_config({**sections, "train": {"method": method}}, "test")
        need = training_need(Project(tmp_path), config, eight)
        assert need is not None and not need.fits
        fit = what_fits(need)
        assert fit is not None and ("train.fsdp=true" in fit.settings) == splits
