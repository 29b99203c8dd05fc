"""Perplexity and KL: against the plain formula on a tiny model, zero for the teacher itself, and where they can't be measured."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from distil.evaluate.likelihood import measure
from distil.evaluate.local import Candidate
from distil.evaluate.metrics import Case, chosen
from distil.evaluate.metrics.likelihood import kl, perplexity
from distil.models.load import load
from distil.models.render import render
from tests.tiny import save_tiny, tiny_examples


def test_the_values_are_those_of_the_formula(tmp_path: Path) -> None:
    student, teacher = save_tiny(tmp_path / "s", seed=1), save_tiny(tmp_path / "t", seed=2)
    examples = tiny_examples(3, "test")
    found = measure([Candidate("sft", str(student), "float32")], str(teacher), examples, kl=True)
    assert found.notes == []
    for example in examples:
        logprobs = []
        for folder in (student, teacher):
            side = load(str(folder), dtype="float32")
            rendered = render(side.tokenizer, example.messages)
            answer = [i for i, learned in enumerate(rendered.answer_mask) if learned]
            with torch.no_grad():
                logits = (
                    side.model(input_ids=torch.tensor([rendered.input_ids], device=side.device))
                    .logits[0]
                    .double()
                    .cpu()
                )
            logprobs.append(torch.log_softmax(logits, -1)[[i - 1 for i in answer]])
            ids = torch.tensor([rendered.input_ids[i] for i in answer])
        ours, theirs = logprobs
        value = found.models["sft"][example.prompt_id]
        assert value.nll == pytest.approx(-float(ours[torch.arange(len(ids)), ids].mean()), rel=1e-4)
        assert value.kl == pytest.approx(float((theirs.exp() * (theirs - ours)).sum(-1).mean()), rel=0.05)


def test_the_teacher_is_at_no_distance_from_itself(tmp_path: Path) -> None:
    folder = str(save_tiny(tmp_path / "t"))
    found = measure([Candidate("sft", folder, "float32")], folder, tiny_examples(2), kl=True)
    assert all(value.kl == pytest.approx(0.0, abs=1e-9) for value in found.models["sft"].values())


def test_what_can_not_be_measured_is_said(tmp_path: Path) -> None:
    examples = tiny_examples(2)
    assert "not only its answers" in measure([], None, examples, kl=True).notes[0]
    folder = str(save_tiny(tmp_path / "t"))
    found = measure([Candidate("sft", folder, "float32")], None, examples, kl=True)
    assert "evaluate.local_teacher" in found.notes[0]
    assert all(value.kl is None and value.nll > 0 for value in found.models["sft"].values())


def test_the_metrics_are_finite_and_on_request_only() -> None:
    rows = [
        Case("", "", "x", None, nll=math.log(8), kl=0.5),
        Case("", "", "x", None, nll=1e9, kl=math.inf),
        Case("", "", "x", None),
    ]
    assert perplexity(rows) == pytest.approx([8.0, 1e4, None]) and kl(rows) == [0.5, None, None]
    assert not {"kl", "perplexity"} & set(chosen("default"))
    assert {"kl", "similarity"} <= set(chosen(["default", "kl"]))
