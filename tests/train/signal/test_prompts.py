"""A student whose prompt is baked in: the teacher sees its instructions, the student none, and the answer tokens are the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from distil.models.head import head_rows
from distil.models.load import load, load_tokenizer
from distil.models.render import render
from distil.models.student_prompt import baked_prompt
from distil.models.template import student_template
from distil.models.unwrap import causal_model
from distil.objectives.targets import DenseTargets
from distil.records import Message, Sampling
from distil.runs.jsonl import read_examples, write_records
from distil.train import stage
from distil.train.batches import micro_batches
from distil.train.examples import load_examples, tokenize
from distil.train.rollouts import Rollouts
from distil.train.signal.sources import OnlineSource
from tests.train.conftest import Bench
from tests.train.signal.test_sources import cached, losses, served, vllm
from tests.train.test_stage import quick

INSTRUCTIONS = "You answer questions about orders. Be short, be kind, never guess. Say what you know and nothing else."


def with_instructions(bench: Bench) -> Bench:
    """The same data with a long system turn, and a student that does not see it."""
    for split in ("train", "validation"):
        path = bench.project.split(split)  # type: ignore[arg-type]
        long = Message(role="system", content=INSTRUCTIONS)
        examples = [e.model_copy(update={"messages": [long, *e.messages]}) for e in read_examples(path)]
        write_records(path, examples)
    return replace(bench, student=bench.student.model_copy(update={"prompt": "none"}))


def test_the_teacher_sees_its_instructions_and_the_student_none(bench: Bench, tmp_path: Path) -> None:
    baked = with_instructions(bench)
    tokenizer = load_tokenizer(baked.student.model, student_template(baked.student, baked.project))
    rows, _ = tokenize(tokenizer, load_examples(baked.project.split("train")), max_length=None, with_teacher=True)
    plain = load_tokenizer(baked.student.model)
    teacher = load(bench.teacher.model.removeprefix("local/"))
    source = OnlineSource([teacher.model], [1.0], packing=False)
    for batch in micro_batches(rows, 64, packing=False, pad_id=0):
        found = source.signal(batch, 0).targets
        assert isinstance(found, DenseTargets)
        sides = [render(plain, row.messages) for row in batch.examples]
        for side, row in zip(sides, batch.examples, strict=True):
            assert row.for_teacher.input_ids == side.input_ids and "never guess" not in tokenizer.decode(row.input_ids)
        with torch.no_grad():
            model = causal_model(teacher.model)
            whole = [head_rows(model, {"input_ids": torch.tensor([s.input_ids])})[0] for s in sides]
        wanted = [h[t - 1] for h, s in zip(whole, sides, strict=True) for t in range(1, len(h)) if s.answer_mask[t]]
        assert torch.allclose(found.hidden, torch.stack(wanted), atol=1e-5)


def test_every_source_teaches_a_student_without_instructions(bench: Bench) -> None:
    baked = with_instructions(bench)
    section = quick(method="logits", epochs=1, temperature=1.0, server_top_k=310)
    stage.run(baked.project, section, baked.student, name="online", teacher=baked.teacher)
    cached(baked, kind="hidden", dtype="float16")
    stage.run(baked.project, section.model_copy(update={"signal": "cached"}), baked.student, name="cached")
    assert losses(baked, "cached") == pytest.approx(losses(baked, "online"), rel=2e-2)
    with served(load(baked.teacher.model.removeprefix("local/"), device="cpu").model, vllm) as url:
        changes = {"signal": "server", "server": f"{url}/v1#m"}
        stage.run(
            baked.project, section.model_copy(update=changes), baked.student, name="served", teacher=baked.teacher
        )
    assert losses(baked, "served") == pytest.approx(losses(baked, "online"), rel=1e-2)
    stage.run(baked.project, section, bench.student, name="long", teacher=bench.teacher)
    assert losses(baked, "long") != pytest.approx(losses(baked, "online"), rel=1e-3)


def test_rollouts_are_judged_after_the_teachers_prompt(bench: Bench) -> None:
    baked = with_instructions(bench)
    section = quick(method="on_policy", epochs=1, on_policy_share=1.0)
    stage.run(baked.project, section, baked.student, name="own", teacher=baked.teacher)
    assert baked_prompt(load_tokenizer(str(baked.project.model("own"))).chat_template) == ""
    rows, _ = tokenize(
        load_tokenizer(str(baked.project.model("own"))),
        load_examples(baked.project.split("train")),
        max_length=None,
        with_teacher=True,
    )
    write = Rollouts(
        lambda prompts, *_: [[7, 8, 9]] * len(prompts), share=1.0, sampling=Sampling(), context=None, seed=0
    )
    _, written = write(rows, 0)
    assert all(row.for_teacher.input_ids == [*row.teacher_prompt, 7, 8, 9] for row in written if row.teacher_prompt)
    assert len(written[0].for_teacher.input_ids) > len(written[0].input_ids)
