"""Votes as soft labels (`curate.choose: votes`): from the teachers' answers to the loss of the first step."""

from __future__ import annotations

import json
from collections import Counter

import pytest
import torch

from distil.curate import stage as curate
from distil.curate.config import CurateConfig
from distil.models.load import load
from distil.train import stage
from distil.train.config import TrainConfig
from tests.curate.material import answer, project_with, prompt
from tests.train.conftest import Bench

VOTES = {
    "My order has not arrived.": ["refund", "refund", "refund", "card lost or stolen"],
    "Where is my parcel now?": ["card lost or stolen", "top up", "top up", "refund"],
}


def test_each_label_is_trained_by_its_share_of_the_votes(bench: Bench) -> None:
    """The loss is the cross-entropy to the distribution of the votes, worked out from the student's own probabilities."""
    asked = {text: prompt(text, split="train") for text in VOTES}
    answers = [
        answer(asked[text], label, teacher=f"t{number}") for text in VOTES for number, label in enumerate(VOTES[text])
    ]
    held_out = prompt("The lamp works well.", split="validation")
    project = project_with(bench.project.root, [*asked.values(), held_out], [*answers, answer(held_out, "top up")])
    curate.run(project, CurateConfig(choose="votes", test=0))
    section = TrainConfig(epochs=1, batch_size=8, learning_rate=1e-6, log_steps=1, warmup=0.0)
    stage.run(project, section, bench.student, name="votes")
    lines = (project.stage("train", "votes") / "metrics.jsonl").read_text().splitlines()
    (loss,) = [row["loss"] for row in map(json.loads, lines) if "loss" in row]

    student = load(bench.student.model, device="cpu")
    wanted, tokens, alike = 0.0, 0.0, []
    for text, labels in VOTES.items():
        begun = f"<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\n"
        prefix = student.tokenizer.encode(begun, add_special_tokens=False)
        for label, count in Counter(labels).items():
            said = student.tokenizer.encode(f"{label}<|im_end|>", add_special_tokens=False)
            with torch.no_grad():
                logits = student.model(torch.tensor([prefix + said])).logits[0]
            chosen = torch.log_softmax(logits.double(), -1)[len(prefix) - 1 : -1].gather(1, torch.tensor([said]).T)
            share = count / len(labels)
            wanted -= share * float(chosen.sum())
            tokens += share * len(said)
            alike.append((float(chosen.sum()), len(said)))
    once = -sum(total for total, _ in alike) / sum(count for _, count in alike)
    assert abs(once - wanted / tokens) > 5e-4 * once  # each label once would be another loss
    assert loss == pytest.approx(wanted / tokens, rel=5e-5)
