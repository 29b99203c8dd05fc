"""Texts that student and teacher write together, on tiny models: whose tokens they are, and the two ends of k."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from distil.errors import UserError
from distil.models.generate import generate
from distil.models.load import Loaded, load
from distil.models.unwrap import causal_model
from distil.records import Sampling
from distil.train import stage
from distil.train.examples import Tokenized
from distil.train.proposals import Together
from distil.train.signal.sources import NoSource
from distil.train.writers import make_rollouts
from tests.train.conftest import Bench
from tests.train.test_on_policy import ON_POLICY, losses
from tests.train.test_stage import quick

PROMPTS = [[1, 40, 41, 42], [1, 50], [1, 60, 61, 62, 63, 64], [1, 70, 71]]
ALL = 10**6


@pytest.fixture(scope="module")
def models(tiny_models: Path) -> tuple[Loaded, Loaded]:
    student, teacher = (load(str(tiny_models / name), device="cpu") for name in ("student", "teacher"))
    return student, teacher


def written(models: tuple[Loaded, Loaded], k: int, sampling: Sampling, asked: list[list[int]] = PROMPTS) -> list[Any]:
    student, teacher = models
    return Together(student, causal_model(teacher.model), k).write(PROMPTS, asked, sampling, 3)


def test_kept_tokens_are_likely_for_the_teacher(models: tuple[Loaded, Loaded]) -> None:
    """Kept tokens are among the teacher's best at their place, by a plain forward over the whole text; both sides have some."""
    k = 60
    texts = written(models, k, Sampling(max_tokens=12))
    flags = [own for text in texts for own in text.kept]
    assert 0.1 < sum(flags) / len(flags) < 0.9
    for prompt, text in zip(PROMPTS, texts, strict=True):
        with torch.inference_mode():
            logits = models[1].model(torch.tensor([prompt + text.ids])).logits[0, len(prompt) - 1 : -1]
        best = logits.topk(k, -1).indices
        for place, (token, own) in enumerate(zip(text.ids, text.kept, strict=True)):
            assert not own or token in best[place]


def test_greedy_texts_stay_among_the_teachers_best(models: tuple[Loaded, Loaded]) -> None:
    for prompt, text in zip(PROMPTS, written(models, 3, Sampling(temperature=0.0, max_tokens=10)), strict=True):
        with torch.inference_mode():
            logits = models[1].model(torch.tensor([prompt + text.ids])).logits[0, len(prompt) - 1 : -1]
        assert all(token in best for token, best in zip(text.ids, logits.topk(3, -1).indices, strict=True))


@pytest.mark.parametrize("sampling", [Sampling(max_tokens=10), Sampling(max_tokens=10, temperature=0.7, top_p=0.8)])
def test_with_all_tokens_allowed_the_student_writes_alone(models: tuple[Loaded, Loaded], sampling: Sampling) -> None:
    texts = written(models, ALL, sampling)
    assert [text.ids for text in texts] == [one.token_ids for one in generate(models[0], PROMPTS, sampling, seed=3)]
    assert all(all(text.kept) for text in texts)


def test_with_one_token_the_teachers_greedy_text_comes_out(models: tuple[Loaded, Loaded]) -> None:
    sampling = Sampling(temperature=0.0, max_tokens=10)
    asked = [[1, 99, 98, *prompt[1:]] for prompt in PROMPTS]  # its own, longer prompts
    for prompts in (PROMPTS, asked):
        texts = written(models, 1, sampling, prompts)
        assert [text.ids for text in texts] == [one.token_ids for one in generate(models[1], prompts, sampling)]


def test_a_text_ends_where_a_context_is_full(models: tuple[Loaded, Loaded]) -> None:
    asked = [list(range(40, 40 + n)) for n in (253, 250, 10, 10)]  # the teacher reads 256 tokens
    texts = written(models, 2, Sampling(max_tokens=9), asked)
    assert len(texts[0].ids) <= 3 and len(texts[1].ids) <= 6 and max(len(text.ids) for text in texts) == 9


def test_on_policy_learns_from_texts_of_both(bench: Bench) -> None:
    section = quick(**ON_POLICY, on_policy_share=1.0, rollout_teacher_top_k=25)
    stage.run(bench.project, section, bench.student, name="both", teacher=bench.teacher, max_steps=2)
    assert all(loss > 0 for loss in losses(bench, "both"))


def test_it_needs_one_teacher_in_this_process(models: tuple[Loaded, Loaded]) -> None:
    section = quick(**ON_POLICY, rollout_teacher_top_k=25)
    with pytest.raises(UserError, match="one teacher with the student's tokenizer"):
        make_rollouts(section, models[0], [Tokenized("a", [1, 2], [-100, 2], 1)], NoSource())
