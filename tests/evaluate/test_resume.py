"""What was answered is never answered again: after a kill, with another limit, for another student of the same base."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from distil.calls.config import TeacherConfig
from distil.evaluate import local, stage
from distil.evaluate.config import EvaluateConfig
from distil.evaluate.local import Candidate
from distil.models.config import StudentConfig
from distil.records import Prediction, Sampling
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_records
from distil.runs.schemas.summary import Summary
from tests.tiny import save_tiny, write_tiny_splits

TESTS = 36
SECTION = EvaluateConfig(metrics=["exact_match"], ceiling=False, latency_prompts=2, batch_size=8)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path / "task")
    write_tiny_splits(made, test=TESTS)
    for name, seed in (("one", 1), ("two", 2)):
        save_tiny(made.model(name), seed=seed)
    save_tiny(tmp_path / "base", seed=0)
    return made


class Counter:
    """Counts the prompts that models answer in batches (those asked alone for the latency are apart)."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.batched = self.alone = self.loaded = 0
        self.stop_at = stop_at
        self._generate, self._load = local.generate, local.load

    def generate(self, loaded: Any, prompts: list[list[int]], *args: Any, **options: Any) -> Any:
        if options["batch_size"] == 1:
            self.alone += len(prompts)
        elif self.stop_at is not None and self.batched + len(prompts) > self.stop_at:
            raise KeyboardInterrupt
        else:
            self.batched += len(prompts)
        return self._generate(loaded, prompts, *args, **options)

    def load(self, *args: Any, **options: Any) -> Any:
        self.loaded += 1
        return self._load(*args, **options)


@pytest.fixture
def counter(monkeypatch: pytest.MonkeyPatch) -> Counter:
    made = Counter()
    monkeypatch.setattr(local, "generate", made.generate)
    monkeypatch.setattr(local, "load", made.load)
    return made


def evaluate(project: Project, name: str = "one", *, temperature: float = 0.7, **changes: Any) -> Summary:
    teacher = TeacherConfig(model="recorded/none.jsonl", sampling=Sampling(temperature=temperature, max_tokens=6))
    section = SECTION.model_copy(update={"baseline": False} | changes)
    student = StudentConfig(model=str(project.root.parent / "base"))
    return stage.run(project, section, name=name, teachers=[teacher], student=student)


def texts(project: Project, model: str, student: str = "one") -> dict[str, str]:
    return {p.prompt_id: p.text for p in read_records(project.predictions(student), Prediction) if p.model == model}


def test_a_second_run_answers_nothing_and_loads_nothing(project: Project, counter: Counter) -> None:
    first = evaluate(project)
    assert (counter.batched, counter.loaded) == (TESTS, 1)
    answers = texts(project, "one")
    again = evaluate(project, metrics=["exact_match", "rouge_l"])
    assert (counter.batched, counter.loaded) == (TESTS, 1)
    assert texts(project, "one") == answers
    assert (again.size, again.speed) == (first.size, first.speed)
    assert "rouge_l" in again.models["one"]


@pytest.mark.parametrize("how", ["greedy", "teacher"])
def test_an_interrupted_run_goes_on_where_it_was(project: Project, counter: Counter, how: str) -> None:
    whole = Project(project.root.parent / "whole")
    write_tiny_splits(whole, test=TESTS)
    save_tiny(whole.model("one"), seed=1)
    evaluate(whole, sampling=how)
    counter.batched, counter.stop_at = 0, 20
    with pytest.raises(KeyboardInterrupt):
        evaluate(project, sampling=how)
    assert counter.batched == 16
    counter.batched, counter.stop_at = 0, None
    summary = evaluate(project, sampling=how)
    assert counter.batched == TESTS - 16
    assert texts(project, "one") == texts(whole, "one")
    assert summary.speed["one"].tokens_per_second and summary.speed["one"].requests == 2


def test_a_killed_run_goes_on_where_it_was(project: Project, counter: Counter) -> None:
    script = textwrap.dedent("""
        import os, signal, sys
        from pathlib import Path
        from distil.runs.artifacts import Project
        from tests.evaluate import test_resume
        made = test_resume.Counter(stop_at=20)
        def generate(*args, **options):
            try:
                return made.generate(*args, **options)
            except KeyboardInterrupt:
                os.kill(os.getpid(), signal.SIGKILL)
        test_resume.local.generate = generate
        test_resume.evaluate(Project(Path(sys.argv[1])))
    """)
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", script, str(project.root)], cwd=root, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    evaluate(project)
    assert counter.batched == TESTS - 16
    assert len(texts(project, "one")) == TESTS


def test_a_limit_reuses_what_is_there_both_ways(project: Project, counter: Counter) -> None:
    small = evaluate(project, limit=20)
    assert counter.batched == 20
    whole = evaluate(project)
    assert counter.batched == TESTS
    assert (small.test_prompts, whole.test_prompts) == (20, TESTS)
    assert whole.speed["one"].requests == 2
    assert evaluate(project, limit=20).test_prompts == 20
    assert counter.batched == TESTS


def test_students_share_the_answers_of_their_base(project: Project, counter: Counter) -> None:
    first = evaluate(project, baseline=True)
    assert counter.batched == 2 * TESTS
    second = evaluate(project, "two", baseline=True)
    assert counter.batched == 3 * TESTS
    assert second.models["base"] == first.models["base"]
    assert second.speed["base"] == first.speed["base"]
    assert texts(project, "base", "two") == texts(project, "base", "one")


@pytest.mark.parametrize("change", ["weights", "temperature", "seed", "greedy"])
def test_new_conditions_are_answered_again(project: Project, counter: Counter, change: str) -> None:
    drawn = {"sampling": "teacher"}
    evaluate(project, **drawn)
    counter.batched = 0
    if change == "weights":
        save_tiny(project.model("one"), seed=9)
        evaluate(project, **drawn)
    elif change == "temperature":
        evaluate(project, temperature=0.8, **drawn)
    elif change == "seed":
        evaluate(project, seed=1, **drawn)
    else:
        evaluate(project, sampling="greedy")
    assert counter.batched == TESTS


def test_the_seed_does_not_matter_to_greedy_answers(project: Project, counter: Counter) -> None:
    evaluate(project)
    evaluate(project, seed=5)
    assert counter.batched == TESTS


def test_a_damaged_cache_costs_only_time(
    project: Project, counter: Counter, capsys: pytest.CaptureFixture[str]
) -> None:
    first = evaluate(project)
    project.cache.write_bytes(b"nonsense " * 5000)
    again = evaluate(project)
    assert again.models["one"] == first.models["one"]
    assert counter.batched == 2 * TESTS
    assert "was damaged" in capsys.readouterr().err


def test_precision_is_a_condition() -> None:
    sampling = Sampling(temperature=0.0)
    exact = local.conditions(Candidate("x", "hub/name", "float32"), sampling, 0)
    assert exact != local.conditions(Candidate("x", "hub/name", "bfloat16"), sampling, 0)
    assert exact == local.conditions(Candidate("y", "hub/name", "float32"), sampling, 1)
