"""Cures that fit the project: they look at the method, the adapter, the device, the student's size and the kind of teacher.

A setting that does nothing here is never advised: no label_weight for sft, no temperature for a recorded teacher, no 4 bits on a
CPU; epochs and rates are relative to those that the student was trained with. `distil doctor --apply` writes the settings.
"""

from __future__ import annotations

import shlex
from typing import Literal

from pydantic import JsonValue

from distil.config import Config, parse_override
from distil.config_file import scalar
from distil.doctor.evidence import Evidence
from distil.doctor.finding import Cure, cure
from distil.fit import Need, what_fits
from distil.runs.schemas.provider_job import read_provider_job
from distil.stage_states import default_name
from distil.train.config import BY_TEXT
from distil.train.job import SAME_RESULT

TeacherKind = Literal["recorded", "local", "server", "api"]
MOST_EPOCHS = 20.0
"""More passes than this over the same answers are not advised: more answers are."""
CARRIED = ("method", "target", "signal")
"""Settings of a training that belong to the student: its command keeps them where distil.yaml says something else."""
LOWEST_RATE_STEP = 3.0


def teacher_kind(config: Config, index: int = 0) -> TeacherKind:
    """What answers: a file, a model in this process, a server of one's own, or a vendor's API."""
    model = config.teachers[min(index, len(config.teachers) - 1)].model
    if model.startswith("recorded/"):
        return "recorded"
    if model.startswith(("local/", "bundled/")):
        return "local"
    return "server" if "://" in model else "api"


def can_answer_more(evidence: Evidence) -> bool:
    """Whether the first teacher can be asked again: a file of answers can't."""
    return evidence.config is None or teacher_kind(evidence.config) != "recorded"


def more_examples(evidence: Evidence, count: int) -> Cure:
    """About `count` more prompts with their answers."""
    after = ["distil collect", "distil curate"]
    if not can_answer_more(evidence):
        assert evidence.config is not None
        file = evidence.config.teachers[0].model.removeprefix("recorded/")
        advice = f"Add about {count:,} more prompts to the prompts file, and their answers to {file}."
        return cure(commands=["distil prompts load", *after], advice=advice)
    return cure(commands=[f"distil prompts expand --count {count}", *after])


def train_again(evidence: Evidence, student: str, settings: dict[str, JsonValue] | None = None) -> Cure:
    """Settings of the train or student section, and the command that trains this student with them."""
    changed = settings or {}
    if student in evidence.summaries and student not in evidence.trained_folders:
        return cure(changed, [], f"{student} was not trained here: train it again where it was.")
    tuned = read_provider_job(evidence.project.provider_job(student))
    if tuned is not None:  # it has settings of its own there
        return cure(
            commands=[shlex.join(["distil", "train", "--provider", tuned.provider, "--as", student, "--force"])]
        )
    words = ["distil", "train", "--as", student]
    unfinished = student in evidence.trained_folders and student not in evidence.trainings
    same = {
        key.removeprefix("train.") for key in changed
    } <= SAME_RESULT  # with any other its checkpoints would be refused
    if evidence.config is not None:
        now, then = evidence.config.train.model_dump(mode="json"), evidence.trained_with(student)
        # a resumed training has to learn what it began to: null is a setting too
        kept = [key for key in then if key not in SAME_RESULT] if unfinished and same else CARRIED
        for key in kept:
            if key in now and then.get(key, now[key]) != now[key] and f"train.{key}" not in changed:
                words += ["--set", f"train.{key}={scalar(then[key])}"]
    if unfinished and not same and any(evidence.project.stage("train", student).glob("checkpoints/checkpoint-*")):
        words.append("--force")  # its checkpoints are of the old settings
    return cure(changed, [shlex.join(words)])


def another_rate(evidence: Evidence, student: str, *, higher: bool) -> Cure:
    """The rate that fits the student's size and adapter, or a third (three times) of the present one where that is past it."""
    now, fits = evidence.rate(student), evidence.fitting_rate(student)
    step = (now or fits or 1e-4) * (LOWEST_RATE_STEP if higher else 1 / LOWEST_RATE_STEP)
    better = fits is not None and now is not None and (fits > 1.5 * now if higher else fits < now / 1.5)
    rate = fits if better and fits is not None else step
    return train_again(evidence, student, {"train.learning_rate": float(f"{rate:.2g}")})


def more_epochs(evidence: Evidence, student: str) -> Cure:
    """Twice as many passes as the student had; more examples where it had many."""
    now = evidence.epochs(student)
    if 2 * now > MOST_EPOCHS:
        return more_examples(evidence, max(500, len(evidence.split("train")))) + train_again(evidence, student)
    return train_again(evidence, student, {"train.epochs": float(f"{2 * now:g}")})


def fewer_epochs(evidence: Evidence, student: str, best: float) -> Cure:
    """So many passes as its validation loss was best after."""
    return train_again(evidence, student, {"train.epochs": max(1.0, float(round(best)))})


def learn_better(evidence: Evidence, student: str) -> Cure:
    """What brings a student closer to its teacher, by what its training shows: the rate, fewer or more epochs, or more data."""
    state = evidence.course(student).state
    if state == "too low":
        return another_rate(evidence, student, higher=True)
    if state in ("too high", "broken"):
        return another_rate(evidence, student, higher=False)
    if state == "still falling":
        return more_epochs(evidence, student)
    return more_examples(evidence, max(500, len(evidence.split("train")))) + train_again(evidence, student)


def closer_to_the_labels(evidence: Evidence, student: str) -> Cure:
    """Against invented content: cleaner answers, and where a divergence is trained more weight on the labels."""
    settings: dict[str, JsonValue] = {}
    trained = evidence.trained_with(student)
    if trained.get("method", "sft") not in BY_TEXT:
        label, temperature = float(str(trained.get("label_weight", 0.3))), float(str(trained.get("temperature", 2.0)))
        if label < 0.5:
            settings |= {"train.label_weight": 0.5, "train.distill_weight": 0.5}
        if temperature > 1.5:
            settings["train.temperature"] = 1.5
    again = train_again(evidence, student, settings)
    clean = cleaner_answers(evidence)
    if not settings and not clean.settings:
        return more_examples(evidence, max(500, len(evidence.split("train")))) + again
    return clean + again


def cleaner_answers(evidence: Evidence) -> Cure:
    """Training answers that are right more often: by the references, or by the vote of several answers."""
    config = evidence.config
    if config is None:
        return cure()
    if any(example.reference for example in evidence.split("train")):
        return with_filter(config, "wrong_answer")
    several = config.collect.samples >= 3 or len(config.teachers) >= 3
    if config.curate.choose not in ("first", "all") or (not several and not can_answer_more(evidence)):
        return cure()
    settings: dict[str, JsonValue] = {"curate.choose": "majority" if evidence.has_results else "agreement"}
    if several:
        return cure(settings, ["distil curate"])
    advice = "Three answers to each prompt cost three times as much; the first is paid for already."
    return cure({"collect.samples": 3, **settings}, ["distil collect", "distil curate"], advice)


def with_filter(config: Config | None, name: str) -> Cure:
    """curate.filters with one more of them; only the command where it is on already."""
    filters = "default" if config is None else config.curate.filters
    now: list[str] = [filters] if isinstance(filters, str) else list(filters)
    if name in now:
        return cure(commands=["distil curate"])
    return cure({"curate.filters": [*(each for each in now if each != f"-{name}"), name]}, ["distil curate"])


def default_filter(config: Config | None, name: str) -> Cure:
    """One of the default filters switched on again where it is off."""
    now = "default" if config is None else config.curate.filters
    if now == "default" or name in now or ("default" in now and f"-{name}" not in now):
        return cure(commands=["distil curate"])
    kept: list[JsonValue] = [each for each in now if each != f"-{name}"]
    return cure({"curate.filters": kept if "default" in kept else [*kept, name]}, ["distil curate"])


def less_memory(evidence: Evidence, need: Need) -> Cure:
    """The first setting that fits into the machine; none that the device can't do."""
    config = evidence.config
    assert config is not None
    fit = what_fits(need)
    on_gpu = evidence.machine.gpu_name is not None
    if fit is None or (not on_gpu and any(setting.startswith("student.quantization") for setting in fit.settings)):
        even = "Not even QLoRA fits" if on_gpu else "Not even LoRA fits, and 4 bits need a GPU"
        return cure(advice=f"{even}: choose a smaller student.model, or a machine with more memory.")
    found: dict[str, JsonValue] = {}
    for setting in fit.settings:
        keys, value = parse_override(setting)
        found[".".join(keys)] = value  # type: ignore[assignment]  # what YAML holds
    return train_again(evidence, default_name(config), found)
