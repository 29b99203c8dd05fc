"""A real student in real hands: SmolLM2-135M takes a few steps, is exported, and llama.cpp's own server answers for it.

Skipped without the real parts, which `benchmarks/real.py` fetches; nothing of this project made the model, its template, its
tokenizer or the server.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks.real_lab import choice, llamacpp_server, prompt_ids
from distil.config import load_config
from distil.models.generate import generate
from distil.models.gguf.write import write_gguf
from distil.models.load import load, load_tokenizer
from distil.models.render import render_prompt
from distil.models.template import TemplateSettings
from distil.pipeline import run_stage
from distil.records import Message, Sampling
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_examples
from distil.serve.config import ServeConfig
from distil.serve.engines.base import require_answers
from distil.serve.stage import make_gateway
from distil.train.exporting import run as export
from tests.serve.running import CHAT, running

Lab = Callable[[str], Path]
CHATS: list[list[dict[str, Any]]] = [
    [{"role": "user", "content": "hi"}],
    [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Ünïcode 你好 🙂\n\n  two  blanks\t"}],
    [
        {"role": "user", "content": "Write <b>1,000</b> and don't stop"},
        {"role": "assistant", "content": "1,000"},
        {"role": "user", "content": " again "},
    ],
]


def project_in(folder: Path, model: Path) -> Project:
    """Twenty questions with one-word answers, the file of answers as the teacher, and a few steps of LoRA."""
    kinds = {"refund": "I want my money back for order", "delivery": "When does the parcel arrive of order"}
    rows = [(f"{kinds[kind]} {number}?", kind) for number in range(10) for kind in kinds]
    for file, key in (("prompts.jsonl", None), ("answers.jsonl", "output")):
        lines = [json.dumps({"prompt": text} | ({key: kind} if key else {})) for text, kind in rows]
        (folder / file).write_text("\n".join(lines) + "\n")
    config = {
        "prompts": {"path": "prompts.jsonl", "system": "Name the topic."},
        "teachers": [{"model": "recorded/answers.jsonl"}],
        "curate": {"test": 4, "validation": 0.2, "near_duplicates": None},
        "student": {"model": str(model), "adapter": "lora"},
        "train": {"epochs": 3, "learning_rate": 2e-3, "batch_size": 12, "log_steps": 1, "warmup": 0},
    }
    (folder / "distil.yaml").write_text(yaml.safe_dump(config))
    return Project(folder)


def test_smollm2_trained_exported_and_served(lab_dir: Lab, tmp_path: Path) -> None:
    """Its loss falls; its GGUF passes parity; llama.cpp makes the same token ids of a prompt and answers through the gateway."""
    model, _ = lab_dir("smollm2/hf"), lab_dir("llamacpp/venv/bin/python")
    project = project_in(tmp_path, model)
    config = load_config(project)
    for stage in ("prompts", "collect", "curate", "train"):
        run_stage(project, config, stage, "s")
    rows = [json.loads(line) for line in (project.stage("train", "s") / "metrics.jsonl").read_text().splitlines()]
    losses = [row["loss"] for row in rows if "loss" in row]
    assert losses[-1] < losses[0] / 2, losses

    exported = export(project, "s", kind="gguf", dtype="q8_0")
    assert exported.parity["kl"] < 0.01, exported.parity

    student = load(str(project.model("s")))
    asked = [example.prompt_messages for example in read_examples(project.split("test"))]
    prompts = [render_prompt(student.tokenizer, messages) for messages in asked]
    ours = generate(student, prompts, Sampling(temperature=0.0, max_tokens=8))
    with llamacpp_server(model.parents[1], exported.path, tmp_path / "llamacpp.log", threads=1) as url:
        wires = [[message.to_wire() for message in messages] for messages in asked]
        assert [prompt_ids(url, "llamacpp", "s", wire) for wire in wires] == prompts
        theirs = through_gateway(project, f"{url}/v1#s", wires)
    texts = [choice(reply)["message"]["content"] for reply, _ in theirs]
    assert texts == [answer.text for answer in ours]
    assert {by for _, by in theirs} == {"student"}
    for answer, (reply, _) in zip(ours, theirs, strict=True):
        first = choice(reply)["logprobs"]["content"][0]["logprob"]
        assert first == pytest.approx(answer.token_logprobs[0], abs=0.1)


def through_gateway(
    project: Project, engine: str, chats: list[list[dict[str, Any]]]
) -> list[tuple[dict[str, Any], str]]:
    """(reply, who answered) of greedy requests to the gateway in front of a server."""
    require_answers(engine, None)

    async def go() -> list[tuple[dict[str, Any], str]]:
        replies = []
        section = ServeConfig(engine=engine, fallback="off", default_max_tokens=8)
        async with running(make_gateway(project, section, name="s")) as session:
            for messages in chats:
                body = {"model": "s", "messages": messages, "logprobs": True}
                async with session.post(CHAT, json=body) as reply:
                    assert reply.status == 200, await reply.text()
                    replies.append((await reply.json(), reply.headers["x-distil-answered-by"]))
        return replies

    return asyncio.run(go())


def test_llamacpp_makes_the_same_token_ids(lab_dir: Lab, tmp_path: Path) -> None:
    """Of the published GGUF, which this project did not write: its template and tokenizer in llama.cpp against ours."""
    folder, _ = lab_dir("smollm2/hf"), lab_dir("llamacpp/venv/bin/python")
    tokenizer = load_tokenizer(str(folder))
    ours = [render_prompt(tokenizer, [Message.model_validate(turn) for turn in chat]) for chat in CHATS]
    gguf = next(lab_dir("smollm2/gguf").glob("*.gguf"))
    with llamacpp_server(folder.parents[1], gguf, tmp_path / "llamacpp.log", threads=1) as url:
        assert [prompt_ids(url, "llamacpp", "m", chat) for chat in CHATS] == ours


@pytest.mark.parametrize("prompt", ["", 'Sort "it" #} now.'])
def test_llamacpp_asks_with_a_baked_prompt(prompt: str, lab_dir: Lab, tmp_path: Path) -> None:
    """It moves a system turn that a template does not read into the user turn, which would bring back what is hidden."""
    folder, _ = lab_dir("smollm2/hf"), lab_dir("llamacpp/venv/bin/python")
    student = load(str(folder), template=TemplateSettings(date="2026-01-31", prompt=prompt))
    write_gguf(student, tmp_path / "baked.gguf", dtype="q8_0")
    ours = [render_prompt(student.tokenizer, [Message.model_validate(turn) for turn in chat]) for chat in CHATS]
    with llamacpp_server(folder.parents[1], tmp_path / "baked.gguf", tmp_path / "llamacpp.log", threads=1) as url:
        assert [prompt_ids(url, "llamacpp", "m", chat) for chat in CHATS] == ours
    assert ours[1] == render_prompt(student.tokenizer, [Message.model_validate(CHATS[1][1])])
