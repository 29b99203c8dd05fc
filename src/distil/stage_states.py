"""What is done, missing or stale, and which student is meant where none is named. Running what is left: pipeline.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from distil.collect.stage import settings_of
from distil.config import Config
from distil.curate.config import reasoning_word
from distil.evaluate.looks import outdated
from distil.records import Manifest
from distil.runs.artifacts import STAGES, STUDENT_STAGES, Project, stage_command
from distil.runs.manifest import State, changed_keys, read_manifest, stage_state
from distil.runs.schemas.asked import AskedInRounds, read_asked
from distil.runs.schemas.notes import (
    CollectSettings,
    CurateNotes,
    EvaluateNotes,
    TrainNotes,
    TrainSettings,
)
from distil.runs.section import Section
from distil.train.config import TrainConfig

OLD_LEARNING_RATE = 2.0e-5
"""The default of train.learning_rate before it fitted the student."""


class Step(NamedTuple):
    """One stage and its state."""

    stage: str
    """The verb."""
    name: str | None
    """The student, for train and evaluate."""
    state: State
    """missing | stale | done."""
    why: str
    """The reason, in one line."""

    @property
    def command(self) -> str:
        """The command that runs it."""
        return stage_command(self.stage, self.name)


def steps(project: Project, config: Config, name: str | None = None) -> list[Step]:
    """Every stage in order with its state. `name` is the student (default: current_student)."""
    return [step_state(project, config, stage, student) for stage, student in line(project, config, name)]


def step_state(project: Project, config: Config, stage: str, name: str | None = None) -> Step:
    """The state of one stage under the current config."""
    manifest = read_manifest(project, stage, name)
    settings = _as_they_were(config, stage, _settings(config, stage), manifest)
    # what was read of the user's file is kept: a file that was moved stops nothing
    state, why = stage_state(project, stage, name, settings, without_inputs=stage == "prompts")
    if stage == "collect" and state == "stale":
        limit = CollectSettings.of(manifest).limit
        if limit is not None:
            why = f"only the first {limit:,} prompts were sent (--limit)"
    if stage == "collect" and (asked := read_asked(project.asked_in_rounds)) is not None:
        state, why = _in_rounds(project, config, asked, why)
    if stage == "prompts" and state == "done" and not _has_gateway_prompts(project):
        state, why = "stale", "requests that the gateway captured are not among them yet"
    if stage == "train" and state == "done":
        state, why = _training_state(config, manifest, why)
    if stage == "evaluate" and name and state == "done" and (reason := outdated(project, name)):
        state, why = "stale", reason
    if state == "done" and _may_ask_more(config, stage, manifest):
        if EvaluateNotes.of(manifest).planned:
            return Step(
                stage,
                name,
                state,
                f"{why}; the budget of `distil until` did not pay for all of it: `distil evaluate {name}`",
            )
        state, why = "stale", f"it could not ask for all, and {stage}.budget_usd is higher now"
    return Step(stage, name, state, why)


def _as_they_were(
    config: Config, stage: str, settings: dict[str, object] | None, manifest: Manifest | None
) -> dict[str, object] | None:
    """The settings in the terms of the version that ran the stage: keys that it did not have, and that still are at their
    defaults, are left out; a learning rate that is left open is what it meant then: `auto`, before that null, and 2e-5."""
    section = getattr(config, stage, None)
    if settings is None or manifest is None or not isinstance(section, Section):
        return settings
    kept = _known_then(section, settings, manifest.config)
    if isinstance(section, TrainConfig):
        then = manifest.config.get("learning_rate")
        if "learning_rate" not in section.model_fields_set and then is None:
            kept["learning_rate"] = then
        if section.set_rate is None and TrainNotes.of(manifest).learning_rate is None and then == OLD_LEARNING_RATE:
            kept["learning_rate"] = then
    if "reasoning" in manifest.config and kept.get("reasoning") == reasoning_word(manifest.config["reasoning"]):
        kept["reasoning"] = manifest.config["reasoning"]  # true and false, as it was written then
    return kept


def left_by_rounds(project: Project, config: Config) -> str:
    """What the rounds of `distil until` or `distil collect --active` did not ask for, and who does; "" where nothing is left."""
    asked = read_asked(project.asked_in_rounds)
    there = _count(project.answers) + _count(project.failures)
    every = _count(project.prompts) * len(config.teachers) * config.collect.samples
    if asked is None or there >= every:
        return ""
    rounds = f"in the rounds of `{asked.command}`" if asked.over else f"in rounds (`{asked.command}` goes on with them)"
    return f"{there:,} of {every:,} answers were asked for, {rounds}; `distil collect` asks the rest"


def _in_rounds(project: Project, config: Config, asked: AskedInRounds, why: str) -> tuple[State, str]:
    """Collecting is done with what the rounds chose, whether they are over or not. why: of the state that it had without them."""
    settings = _known_then(config.collect, settings_of(config.collect, config.teachers), asked.settings)
    changed = changed_keys(settings, asked.settings)
    if changed:
        return "stale", f"the rounds of `{asked.command}` asked with other settings: {', '.join(changed)}"
    if not _count(project.answers):
        return "missing", f"the rounds of `{asked.command}` have no answer yet"
    return "done", left_by_rounds(project, config) or why


def _count(path: Path) -> int:
    """Lines of a file; 0 where there is none."""
    if not path.exists():
        return 0
    with path.open("rb") as file:
        return sum(1 for line in file if line.strip())


def _has_gateway_prompts(project: Project) -> bool:
    """Whether the prompts were loaded since there are captured ones (a change of these is seen as that of any input)."""
    manifest = read_manifest(project, "prompts")
    return not project.gateway_prompts.exists() or (
        manifest is not None and project.relative(project.gateway_prompts) in manifest.inputs
    )


def _known_then(section: Section, settings: Mapping[str, object], then: Mapping[str, object]) -> dict[str, object]:
    """The settings without the keys that a section of `then` did not have, as long as they are at their defaults."""
    touched = Section.model_dump(section, mode="json", exclude_defaults=True)
    return {key: value for key, value in settings.items() if key in then or key in touched}


def _training_state(config: Config, manifest: Manifest | None, why: str) -> tuple[State, str]:
    """A finished training is also stale when the student section changed or it was only a trial run."""
    notes = TrainNotes.of(manifest)
    if notes.partial:
        return "stale", "it was a trial run with --max-steps"
    student = config.student.model_dump(mode="json")
    if notes.student is None or notes.student != _known_then(config.student, student, notes.student):
        return "stale", "the student section has changed"
    return "done", why


def _may_ask_more(config: Config, stage: str, manifest: Manifest | None) -> bool:
    """Whether a stage that could not ask for all had a lower cap than the config's."""
    if manifest is None:
        return False
    if stage == "evaluate":
        complete, now = EvaluateNotes.of(manifest).complete, config.evaluate.budget_usd
    elif stage == "curate":
        complete, now = CurateNotes.of(manifest).complete, config.curate.budget_usd
    else:
        return False
    then = manifest.config.get("budget_usd")
    return not complete and isinstance(then, (int, float)) and (now is None or now > then)


def default_name(config: Config) -> str:
    """A new student without a name is named after its method: sft, logits, on_policy or dpo."""
    return config.train.method


def current_student(project: Project, config: Config) -> str:
    """The student that is meant where none is named: the last one trained by `train.method`, else the next one.

    A baseline, which learned from the references, is meant only where `train.target` says so.
    """

    def meant(name: str) -> bool:
        then = TrainSettings.of(read_manifest(project, "train", name))
        return then.method == config.train.method and (then.target != "reference" or config.train.target == "reference")

    trained = [name for name in project.students() if meant(name)]
    return trained[-1] if trained else default_name(config)


def chosen_student(project: Project, config: Config, students: Sequence[str]) -> str:
    """The one of `students` (at least one, the last one trained at the end) that is meant where none is named."""
    current = current_student(project, config)
    return current if current in students else students[-1]


def line(project: Project, config: Config, name: str | None) -> list[tuple[str, str | None]]:
    student = name or current_student(project, config)
    cached = config.train.method == "logits" and config.train.signal == "cached"
    stages = [stage for stage in STAGES if stage != "signals" or cached]
    return [(stage, student if stage in STUDENT_STAGES else None) for stage in stages]


def _settings(config: Config, stage: str) -> dict[str, object] | None:
    """The resolved settings to compare with a stage's manifest; None = nothing to compare (the report has none)."""
    if stage == "collect":
        return settings_of(config.collect, config.teachers)
    section = getattr(config, stage, None)
    return section.model_dump(mode="json") if section is not None else None
