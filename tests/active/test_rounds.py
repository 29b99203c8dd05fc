"""The rounds: what is held out stays random, what was chosen is kept, nothing is asked twice, and noise is not followed."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import yaml
from click.testing import CliRunner

from distil.active import run as rounds_module
from distil.active import unsure
from distil.active.run import plan, run
from distil.active.unsure import Knowledge
from distil.calls.ledger.store import Ledger
from distil.cli.main import cli
from distil.config import Config, load_config
from distil.curate.split import partition
from distil.errors import BudgetReached, Interrupted, UserError
from distil.pipeline import run_stage
from distil.records import Prompt
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_examples, read_records, write_records
from distil.runs.schemas.active import may_hold_out, read_chosen
from distil.runs.schemas.sides import Side, read_sides
from distil.stage_states import step_state

WORDS = "amber basil cedar delta ember fjord grove hazel inlet jetty kayak lunar maple north ocean pearl quill raven slate tulip"


def hard(text: str) -> bool:
    return "hard" in text


def project_of(folder: Path, rows: int = 120, **sections: dict[str, object]) -> tuple[Project, Config]:
    """Prompts of unlike words, a third of them hard, and a recorded teacher that answers all."""
    words, rng = WORDS.split(), np.random.default_rng(0)
    prompts, answers = [], []
    for number in range(rows):
        kind = "hard" if number % 3 == 0 else "easy"
        text = f"{kind} {number} " + " ".join(rng.choice(words, 12))
        prompts.append(json.dumps({"prompt": text}))
        answers.append(json.dumps({"prompt": text, "output": kind}))
    (folder / "prompts.jsonl").write_text("\n".join(prompts) + "\n", encoding="utf-8")
    (folder / "answers.jsonl").write_text("\n".join(answers) + "\n", encoding="utf-8")
    config: dict[str, object] = {
        "prompts": {"path": "prompts.jsonl"},
        "teachers": [{"model": "recorded/answers.jsonl", "price": {"input": 1.0, "output": 2.0}}],
        "curate": {"test": 10, "validation": 0.4, "near_duplicates": None},
        "student": {"model": "bundled/student"},
    }
    (folder / "distil.yaml").write_text(yaml.safe_dump(config | sections), encoding="utf-8")
    project = Project(folder)
    settings = load_config(project)
    run_stage(project, settings, "prompts", None)
    return project, settings


class Student:
    """A stand-in that is unsure of hard prompts, and trained on what is there."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, finds_errors: float | None = 0.9) -> None:
        self.learned: list[int] = []
        self.finds_errors = finds_errors
        monkeypatch.setattr(unsure, "train", self.train)
        monkeypatch.setattr(unsure, "ask_student", self.ask)
        monkeypatch.setattr(partition, "installed", lambda: False)  # no embeddings: seconds for what is not tested here

    def train(self, project: Project, config: Config) -> tuple[Project, Config, Knowledge]:
        project.active_student.mkdir(parents=True, exist_ok=True)
        self.learned.append(sum(1 for _ in read_examples(project.split("train"))))
        return project, config, Knowledge(self.learned[-1], "accuracy", 0.5, self.finds_errors)

    def ask(self, project: Project, part: Project, config: Config, prompts: Sequence[Prompt]) -> np.ndarray:
        return np.array([0.9 if hard(prompt.messages[-1].text) else 0.05 for prompt in prompts])


def texts(project: Project) -> dict[str, str]:
    return {prompt.id: prompt.messages[-1].text for prompt in read_records(project.prompts, Prompt)}


def calls(project: Project) -> int:
    with Ledger(project.ledger) as ledger:
        return sum(1 for _ in ledger.calls())


def test_later_rounds_ask_what_the_student_is_unsure_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project, config = project_of(tmp_path)
    student = Student(monkeypatch)
    result = run(project, config, rounds=3, limit=75)
    assert [one.how for one in result.rounds] == ["random", "uncertainty", "uncertainty"]
    assert result.asked == 75 == calls(project)
    assert len(student.learned) == 2 and student.learned[0] < student.learned[1]
    said = texts(project)
    chosen = read_chosen(project.active_chosen, 3)
    later = [line for line in chosen if line.round > 1]
    first = [line for line in chosen if line.round == 1]
    share = [np.mean([hard(said[line.prompt_id]) for line in lines]) for lines in (first, later)]
    assert share[0] < 0.5 < 0.6 < share[1]
    assert all(line.probability is not None and 0 < line.probability <= 1 for line in later)
    assert result.rounds[1].asked_uncertainty > result.rounds[1].pool_uncertainty  # type: ignore[operator]
    assert step_state(project, config, "collect").state == "done" and not project.active_student.exists()
    table = result.table()
    assert [row[0] for row in table] == ["1", "2", "3"] and "accuracy 0.500" in table[1][-1]


def test_what_was_chosen_is_never_held_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project, config = project_of(tmp_path)
    Student(monkeypatch)
    result = run(project, config, rounds=3, limit=75)
    random = {line.prompt_id for line in read_chosen(project.active_chosen, 3) if line.round < 2}
    run_stage(project, config, "curate", None)
    again = config.model_copy(update={"curate": config.curate.model_copy(update={"seed": 7})})
    rest = config.collect.model_copy(update={"budget_usd": None})

    def held_out() -> set[str]:
        return {key for key, side in read_sides(project.sides).items() if side != "train"}

    first = held_out()
    assert len(first) > 10 and first <= random  # 10 test prompts and the validation ones
    run_stage(project, again, "curate", None)  # all sides are drawn again
    assert held_out() <= random and held_out() != first
    run_stage(project, config.model_copy(update={"collect": rest}), "collect", None)  # the easy ones that were left
    run_stage(project, again, "curate", None)
    assert held_out() <= random and sum(1 for _ in read_examples(project.split("train"))) > 60
    found = may_hold_out(project.active_rounds, project.active_chosen)
    assert found is not None and found.others == 75 - result.rounds[0].asked
    loaded_later = [found.allows(f"prompt_{number}") for number in range(2_000)]
    assert abs(np.mean(loaded_later) - len(random) / 120) < 0.1  # a random part, as large as the first round's


def test_a_killed_run_goes_on_with_what_it_had_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project, config = project_of(tmp_path)
    Student(monkeypatch)
    ask, asked = rounds_module.stage.run, []

    def dies(*arguments: object, **options: object) -> object:
        asked.append(options["only"])
        if len(asked) == 2:
            raise Interrupted("Stopped.")
        return ask(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(rounds_module.stage, "run", dies)
    with pytest.raises(Interrupted, match="the same rounds: distil collect --active"):
        run(project, config, rounds=3, limit=75)
    before = project.active_chosen.read_text(encoding="utf-8")
    paid = calls(project)
    step = step_state(project, config, "collect")
    assert step.state == "done" and "`distil collect --active` goes on" in step.why
    result = run(project, config, rounds=3, limit=75)
    assert asked[2] == asked[1] and result.asked == 75 == calls(project) > paid
    assert project.active_chosen.read_text(encoding="utf-8").startswith(before)
    run(project, config, rounds=3, limit=75)
    assert len(asked) == 4 and calls(project) == 75  # all was there
    more = run(project, config, rounds=2, limit=90)
    assert more.asked == 90 == calls(project)


def test_lines_of_a_choice_that_was_not_finished_do_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project, config = project_of(tmp_path)
    Student(monkeypatch)
    run(project, config, rounds=2, limit=60)
    whole = project.active_rounds.read_text(encoding="utf-8").splitlines(keepends=True)
    project.active_rounds.write_text(whole[0], encoding="utf-8")
    chosen = project.active_chosen.read_text(encoding="utf-8")
    run(project, config, rounds=2, limit=60)
    assert project.active_chosen.read_text(encoding="utf-8").count("\n") >= chosen.count("\n")
    assert {line.round for line in read_chosen(project.active_chosen, 2)} == {1, 2}


@pytest.mark.parametrize(("ranking", "word"), [(0.52, "52% of the pairs"), (None, "equally good")])
def test_an_uncertainty_that_finds_no_errors_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ranking: float | None, word: str
) -> None:
    project, config = project_of(tmp_path)
    Student(monkeypatch, ranking)
    result = run(project, config, rounds=2, limit=60)
    assert result.rounds[1].how == "random" and word in result.rounds[1].why
    assert any("1 of 1 later rounds were random" in line for line in result.lines())
    probabilities = {line.probability for line in read_chosen(project.active_chosen, 2) if line.round == 2}
    assert len(probabilities) == 1


def test_a_dry_run_says_rounds_and_money_and_sends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project, config = project_of(tmp_path)
    Student(monkeypatch)
    ahead = plan(project, config, rounds=3, limit=75)
    assert sum(ahead.coming) == 75 and ahead.students == 2 and ahead.training_seconds is not None
    assert sum(part.to_ask for part in ahead.collected.forecast) == 75
    assert not project.active_rounds.exists() and calls(project) == 0


def test_the_cap_stops_a_round_and_more_money_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project, config = project_of(tmp_path)
    Student(monkeypatch)
    capped = config.model_copy(update={"collect": config.collect.model_copy(update={"budget_usd": 0.002})})
    with pytest.raises(BudgetReached):
        run(project, capped, rounds=2, limit=60)
    assert 0 < calls(project) < 60
    assert run(project, config, rounds=2, limit=60).asked == 60 == calls(project)


def test_prompts_like_held_out_or_answered_ones_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project, config = project_of(tmp_path, curate={"test": 10, "validation": 0.4, "near_duplicates": 0.8})
    Student(monkeypatch)
    run(project, config, rounds=2, limit=60)
    held = [text for key, text in texts(project).items() if read_sides(project.sides).get(key) == "test"]
    lines = project.root.joinpath("prompts.jsonl").read_text(encoding="utf-8")
    copies = [json.dumps({"prompt": f"{text}!", "output": "easy"}) for text in held]
    project.root.joinpath("prompts.jsonl").write_text(lines + "\n".join(copies) + "\n", encoding="utf-8")
    with project.root.joinpath("answers.jsonl").open("a", encoding="utf-8") as file:
        file.write("\n".join(copies) + "\n")
    run_stage(project, config, "prompts", None)
    run(project, config, rounds=2, limit=90)
    chosen = {texts(project)[line.prompt_id] for line in read_chosen(project.active_chosen, 9)}
    assert len(chosen) == 90 and not chosen & {f"{text}!" for text in held}


def test_nothing_to_choose_from_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project, config = project_of(tmp_path, rows=40)
    Student(monkeypatch)
    run_stage(project, config, "collect", None)
    with pytest.raises(UserError, match="Every prompt has an answer"):
        run(project, config, rounds=2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--rounds", "3"], "--rounds goes with --active"),
        (["--active", "--only", "failed"], "--active chooses its own prompts"),
        (["--active", "--limit", "30"], "30 prompts are too few for 4 rounds.*Use --limit"),
    ],
)
def test_options_that_do_not_fit_are_refused(tmp_path: Path, options: list[str], message: str) -> None:
    project, _ = project_of(tmp_path)
    ran = CliRunner().invoke(cli, ["collect", "--project", str(project.root), *options])
    assert isinstance(ran.exception, UserError) and re.search(message, str(ran.exception))
    assert not project.active_rounds.exists()


def test_the_command_prints_its_rounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project, _ = project_of(tmp_path)
    Student(monkeypatch)
    ran = CliRunner().invoke(
        cli, ["collect", "--project", str(project.root), "--active", "--rounds", "2", "--limit", "60"]
    )
    assert ran.exit_code == 0, ran.output
    assert "60 of 60 prompts were chosen." in ran.stdout and "accuracy 0.500" in ran.stdout


def test_validation_prompts_that_are_there_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project, config = project_of(tmp_path)
    Student(monkeypatch)
    some = config.model_copy(update={"curate": config.curate.model_copy(update={"test": 0, "validation": 0.0})})
    ids = list(texts(project))
    write_records(project.sides, [Side(prompt_id=key, side="validation", seed=0) for key in ids[:16]])
    assert plan(project, some, rounds=2, limit=60).coming == (30, 30)  # drawn before, and none is drawn now
    project.sides.unlink()
    with pytest.raises(UserError, match=r"curate\.validation is 0"):
        plan(project, some, rounds=2, limit=60)


def test_a_few_marked_validation_prompts_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project, config = project_of(tmp_path)
    Student(monkeypatch)
    prompts = list(read_records(project.prompts, Prompt))
    marked = [p.model_copy(update={"split": "validation"}) if i < 3 else p for i, p in enumerate(prompts)]
    write_records(project.prompts, marked)
    with pytest.raises(UserError, match=r"3 prompts are marked `split: validation`.*mark 8 or more, or none"):
        plan(project, config, rounds=2, limit=60)
