"""Every cure fits the project: its settings parse and change what they name, its commands are commands, nothing is idle."""

from __future__ import annotations

import json
import os
import re
import shlex
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from distil.cli.doctor import command
from distil.cli.main import cli
from distil.config import load_config, override_config, parse_config, read_data
from distil.config_file import edit_config, flat_settings, scalar
from distil.doctor import checks, cures, training
from distil.doctor.evidence import Evidence
from distil.doctor.finding import Cure, Finding
from distil.models.sizing import GIB, Machine
from distil.runs.artifacts import Project
from distil.runs.jsonl import write_json
from tests.doctor.planted import change_manifest, curve, keep, run
from tests.doctor.test_planted import CPU, PLANTED, Plant, found
from tests.report.sample import write_training

GPU = Machine(cores=8, ram=64 * GIB, gpu_name="A10", gpus=1, gpu_memory=24 * GIB)


def check_command(line: str, project: Project) -> None:
    """Parses a command line as the shell and the program would, without running it."""
    assert not re.search(r"[()<>|;&`$]", re.sub(r"'[^']*'", "", line)), line
    words = shlex.split(line)
    assert words[0] == "distil", line
    at: click.Command = cli
    context, words = click.Context(cli, info_name="distil"), words[1:]
    while isinstance(at, click.Group):
        name, inner, words = at.resolve_command(context, words)
        assert inner is not None, line
        at, context = inner, click.Context(inner, info_name=name, parent=context)
    parsed = at.make_context(at.name, list(words), parent=context)
    settings = parsed.params.get("overrides", ())
    override_config(read_data(project.config.read_text(), "x"), "x", list(settings))


def check_cure(cure: Cure, project: Project) -> None:
    """Its settings are valid and change the project, its lines are commands, and it holds nothing that is idle here."""
    text = project.config.read_text()
    before = flat_settings(load_config(project))
    if cure.settings:
        pairs = [f"{key}={scalar(value)}" for key, value in cure.settings.items()]
        after = flat_settings(parse_config(read_data(edit_config(text, pairs, "x").after, "x"), "x"))
        for key, value in cure.settings.items():
            assert json.loads(json.dumps(after[key])) == value and before[key] != after[key], key
    for line in cure.lines():
        check_command(line, project)
    assert cure.settings or cure.commands or cure.advice
    if load_config(project).teachers[0].model.startswith("recorded/"):
        assert not any("sampling" in key or key == "collect.samples" for key in cure.settings)
        assert not any("expand" in line for line in cure.commands)


@pytest.mark.parametrize(
    ("check", "plant"), [row[:2] for row in PLANTED], ids=[f"{n}: {r[0]}" for n, r in enumerate(PLANTED)]
)
def test_the_cure_of_a_planted_fault_fits(copy: Project, check: str, plant: Plant) -> None:
    plant(copy)
    check_cure(found(copy, check).cure, copy)
    keep(copy, "teachers.0.model=recorded/answers.jsonl")
    check_cure(found(copy, check).cure, copy)


def test_every_cure_of_a_bad_student_fits(copy: Project) -> None:
    """Each function that makes a cure, for sft and for distributions, with a teacher to ask and without."""
    for model in ("openai/gpt-4o-mini", "recorded/a.jsonl"):
        for method in ("sft", "logits"):
            keep(copy, f"teachers.0.model={model}", f"train.method={method}")
            change_manifest(copy, config={"method": method, "label_weight": 0.3, "temperature": 2.0})
            evidence = Evidence(copy, CPU)
            made = [
                cures.more_examples(evidence, 300),
                cures.another_rate(evidence, "sft", higher=True),
                cures.another_rate(evidence, "sft", higher=False),
                cures.more_epochs(evidence, "sft"),
                cures.fewer_epochs(evidence, "sft", 2.0),
                cures.learn_better(evidence, "sft"),
                cures.closer_to_the_labels(evidence, "sft"),
                cures.cleaner_answers(evidence),
                cures.default_filter(evidence.config, "refusal"),
                training.smaller_passes(evidence, "sft"),
            ]
            for cure in made:
                check_cure(cure, copy)
            weights = made[6].settings.keys() & {"train.label_weight", "train.distill_weight", "train.temperature"}
            assert bool(weights) == (method == "logits")


def test_a_student_keeps_the_method_it_was_trained_with(copy: Project) -> None:
    change_manifest(copy, config={"method": "logits", "target": "teacher"})
    cure = cures.more_epochs(Evidence(copy, CPU), "sft")
    assert cure.settings == {"train.epochs": 6.0}
    assert cure.commands == ["distil train --as sft --set train.method=logits"]


def test_epochs_are_relative_to_those_that_were_set(copy: Project) -> None:
    change_manifest(copy, config={"epochs": 8.0})
    assert cures.more_epochs(Evidence(copy, CPU), "sft").settings == {"train.epochs": 16.0}
    change_manifest(copy, config={"epochs": 16.0})
    more = cures.more_epochs(Evidence(copy, CPU), "sft")
    assert not more.settings and any("expand" in line for line in more.commands)


def test_rates_fit_the_size_and_the_adapter(copy: Project) -> None:
    change_manifest(copy, config={"learning_rate": 2e-5})
    full = cures.another_rate(Evidence(copy, CPU), "sft", higher=True).settings["train.learning_rate"]
    change_manifest(copy, notes={"student": {"model": "bundled/student", "adapter": "lora"}})
    lora = cures.another_rate(Evidence(copy, CPU), "sft", higher=True).settings["train.learning_rate"]
    assert 1e-3 <= full <= 2e-3 and 5 * full < lora <= 1e-2  # type: ignore[operator]


def test_no_quantization_is_advised_on_a_cpu(tmp_path: Path) -> None:
    project = Project(tmp_path)
    text = "prompts: {path: x.jsonl}\nteachers: [{model: openai/gpt-4o-mini}]\nstudent: {model: Qwen/Qwen3-32B}\n"
    project.config.write_text(text, encoding="utf-8")
    for machine, word in ((CPU, "4 bits need a GPU"), (GPU, "")):
        found = training.out_of_memory(Evidence(project, machine))
        assert found.level == "problem"
        assert "student.quantization" not in found.cure.settings or machine is GPU
        assert word in found.cure.advice
        check_cure(found.cure, project)


def test_new_settings_start_an_unfinished_training_over(copy: Project) -> None:
    run(copy, cause="loss", reason="The loss became nan at step 41.")
    (copy.stage("train", "sft") / "checkpoints" / "checkpoint-20").mkdir(parents=True)
    found = training.unfinished(Evidence(copy, CPU))
    assert isinstance(found, list) and found[0].cure.commands == ["distil train --as sft --force"]


def test_smaller_passes_resume_a_training(copy: Project) -> None:
    """They change nothing that is learned, so its checkpoints stay, and it keeps every setting that decides what is learned."""
    noted = {"method": "sft", "epochs": 8.0, "learning_rate": None, "log_steps": 3}
    run(copy, cause="memory", reason="CUDA out of memory", train=noted)
    (copy.stage("train", "sft") / "checkpoints" / "checkpoint-20").mkdir(parents=True)
    keep(copy, "train.learning_rate=1e-4")
    found = training.unfinished(Evidence(copy, CPU))
    assert isinstance(found, list)
    assert found[0].cure.settings == {"train.gradient_checkpointing": True, "train.micro_batch_tokens": 1024}
    kept = "--set train.epochs=8.0 --set train.learning_rate=null"
    assert found[0].cure.commands == [f"distil train --as sft {kept}"]
    check_cure(found[0].cure, copy)


def test_a_training_is_resumed_with_its_own_settings(copy: Project) -> None:
    run(copy, outcome="interrupted", train={"method": "logits", "epochs": 8.0, "learning_rate": "auto"})
    found = training.unfinished(Evidence(copy, CPU))
    assert isinstance(found, list)
    assert found[0].cure.commands == ["distil train --as sft --set train.method=logits --set train.epochs=8.0"]


def test_a_stale_baseline_learns_from_the_references_again(copy: Project) -> None:
    write_training(copy, "baseline", target="reference")
    with copy.split("train").open("a", encoding="utf-8") as file:
        file.write("\n")
    stale = found(copy, "stale stages")
    assert "distil train --as sft" in stale.cure.commands
    assert "distil train --as baseline --set train.target=reference" in stale.cure.commands


def test_apply_shows_old_and_new_and_writes(copy: Project) -> None:
    curve(copy, [5.9 - 0.1 * step for step in range(40)])
    run_ = CliRunner().invoke
    where = ["--project", str(copy.root)]
    shown = run_(command, where).output
    number = re.search(r"(\d+)\. trained too short", shown)
    there = f"--project {os.path.relpath(copy.root)}"  # as they are typed where the user stands
    assert number is not None and f"distil config set train.epochs=6.0 {there}\n" in shown
    assert re.search(rf"distil doctor --apply \d+ {re.escape(there)}\n", shown)
    refused = run_(command, [*where, "--apply", number[1]])
    assert refused.exit_code and load_config(copy).train.epochs == 3
    done = run_(command, [*where, "--apply", number[1], "--yes"], catch_exceptions=False)
    assert "train.epochs: 3.0 -> 6.0" in done.output and f"distil train --as sft {there}\n" in done.output
    assert load_config(copy).train.epochs == 6
    missing = run_(command, [*where, "--apply", "99"])
    assert "There is no finding 99" in str(missing.exception)


def test_strict_fails_on_a_problem_alone(copy: Project) -> None:
    where = ["--project", str(copy.root), "--strict"]
    loud = [f for f in checks.run(copy, CPU) if f.level == "problem"]
    assert (CliRunner().invoke(command, where).exit_code != 0) == bool(loud)
    curve(copy, [5.0] * 40)
    failed = CliRunner().invoke(command, where)
    assert getattr(failed.exception, "exit_code", None) == 4 and "the loss" in str(failed.exception)


def test_set_is_respected_and_a_bad_config_is_a_finding(copy: Project) -> None:
    where = ["--project", str(copy.root), "--json"]
    big = CliRunner().invoke(command, [*where, "--set", "student.model=Qwen/Qwen3-8B"]).stdout
    assert "Training Qwen/Qwen3-8B needs" in big
    copy.config.write_text("prompts: {path: x}\nteechers: []\n")
    wrong = json.loads(CliRunner().invoke(command, where).stdout)
    assert wrong[0]["check"] == "the config" and wrong[0]["level"] == "problem" and "teechers" in wrong[0]["seen"]


def test_long_texts_are_wrapped_and_commands_are_not(copy: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    from distil.cli import doctor

    monkeypatch.setattr(doctor, "width", lambda: 60)
    monkeypatch.setattr(
        checks,
        "run",
        lambda *_, **__: [
            Finding(level="warn", check="c", seen="word " * 40, cure=Cure(commands=["distil " + "x" * 90]))
        ],
    )
    monkeypatch.chdir(copy.root)
    lines = CliRunner().invoke(command, []).output.splitlines()
    assert max(len(line) for line in lines if "word" in line) <= 60
    assert any(line.strip() == "distil " + "x" * 90 for line in lines)


def test_a_notebook_s_folder_is_no_student(copy: Project) -> None:
    (copy.stage("train") / ".ipynb_checkpoints").mkdir()
    (copy.stage("train") / "notes").mkdir()
    write_json(copy.stage("train") / ".ipynb_checkpoints" / "manifest.json", {})
    assert Evidence(copy, CPU).trained_folders == ["sft"]
