"""The order of the stages: what is done, what is missing or stale, and running what is left.

Stages in a fixed order need no scheduler: this is a loop over a tuple. A single command also uses it for the stage before
it (`collect` loads the prompts first).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from distil.config import Config, calibration_judge
from distil.errors import UserError
from distil.evaluate.looks import outdated
from distil.records import Manifest
from distil.runs.artifacts import STAGES, STUDENT_STAGES, Project, stage_command
from distil.runs.manifest import State, read_manifest, stage_state
from distil.runs.schemas.notes import CollectSettings, TrainNotes, TrainSettings
from distil.runs.section import Section

if TYPE_CHECKING:
    from distil.curate.judge import Judge
    from distil.runs.schemas.calibration import Calibration
    from distil.serve.stage import ServeResult
    from distil.train.stage import TrainResult

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
    return [step_state(project, config, stage, student) for stage, student in _line(project, config, name)]


def step_state(project: Project, config: Config, stage: str, name: str | None = None) -> Step:
    """The state of one stage under the current config."""
    settings = _as_they_were(config, stage, _settings(config, stage), read_manifest(project, stage, name))
    # what was read of the user's file is kept: a file that was moved stops nothing
    state, why = stage_state(project, stage, name, settings, without_inputs=stage == "prompts")
    if stage == "collect" and state == "stale":
        limit = CollectSettings.of(read_manifest(project, stage)).limit
        if limit is not None:
            why = f"only the first {limit:,} prompts were sent (--limit)"
    if stage == "prompts" and state == "done" and not _has_gateway_prompts(project):
        state, why = "stale", "requests that the gateway captured are not among them yet"
    if stage == "train" and state == "done":
        state, why = _training_state(project, config, name, why)
    if stage == "evaluate" and name and state == "done" and (reason := outdated(project, name)):
        state, why = "stale", reason
    return Step(stage, name, state, why)


def _as_they_were(
    config: Config, stage: str, settings: dict[str, object] | None, manifest: Manifest | None
) -> dict[str, object] | None:
    """The settings in the terms of the version that ran the stage: keys that it did not have, and that still are at their
    defaults, are left out; a learning rate that is left open is what that meant then."""
    section = getattr(config, stage, None)
    if settings is None or manifest is None or not isinstance(section, Section):
        return settings
    kept = _known_then(section, settings, manifest.config)
    if stage == "train" and kept.get("learning_rate") is None and TrainNotes.of(manifest).learning_rate is None:
        then = manifest.config.get("learning_rate")
        kept |= {"learning_rate": then} if then == OLD_LEARNING_RATE else {}
    return kept


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


def _training_state(project: Project, config: Config, name: str | None, why: str) -> tuple[State, str]:
    """A finished training is also stale when the student section changed or it was only a trial run."""
    notes = TrainNotes.of(read_manifest(project, "train", name))
    if notes.partial:
        return "stale", "it was a trial run with --max-steps"
    student = config.student.model_dump(mode="json")
    if notes.student is None or notes.student != _known_then(config.student, student, notes.student):
        return "stale", "the student section has changed"
    return "done", why


def default_name(config: Config) -> str:
    """A new student without a name is named after its method: sft, logits or on_policy."""
    return config.train.method


def current_student(project: Project, config: Config) -> str:
    """The student that is meant where none is named: the last one trained by `train.method`, else the next one."""
    trained = [
        name
        for name in project.students()
        if TrainSettings.of(read_manifest(project, "train", name)).method == config.train.method
    ]
    return trained[-1] if trained else default_name(config)


def chosen_student(project: Project, config: Config, students: Sequence[str]) -> str:
    """The one of `students` (at least one, the last one trained at the end) that is meant where none is named."""
    current = current_student(project, config)
    return current if current in students else students[-1]


def run_missing(
    project: Project, config: Config, *, name: str | None = None, on_step: Callable[[Step], None] | None = None
) -> list[Step]:
    """Runs every stage that is missing or stale, in order, and returns the steps that ran. `on_step` is called before each."""
    ran = []
    for stage, student in _line(project, config, name):
        step = step_state(project, config, stage, student)
        if step.state == "done":
            continue
        if on_step:
            on_step(step)
        run_stage(project, config, stage, student)
        ran.append(step)
    return ran


def ensure(project: Project, config: Config, stage: str, *, before: str) -> None:
    """Runs `prompts` if it is not up to date; for any other stage that is missing, raises a UserError with the command to run."""
    step = step_state(project, config, stage)
    if stage == "prompts":
        if step.state != "done":
            run_stage(project, config, "prompts", None)
    elif step.state == "missing":
        raise UserError(
            f"`distil {before}` needs the output of `{step.command}`, which has not run yet. Run it first, or `distil run`."
        )


def signal_teacher(config: Config) -> str:
    """The teacher whose distributions are cached: the local teacher in train.teachers, else the first of the teachers section."""
    return (config.train.teachers or config.teachers)[0].model


def run_stage(project: Project, config: Config, stage: str, name: str | None) -> object:
    """Runs one stage with the config's section and returns its result."""
    return RUNNERS[stage](project, config, name)


def _line(project: Project, config: Config, name: str | None) -> list[tuple[str, str | None]]:
    student = name or current_student(project, config)
    cached = config.train.method == "logits" and config.train.signal == "cached"
    stages = [stage for stage in STAGES if stage != "signals" or cached]
    return [(stage, student if stage in STUDENT_STAGES else None) for stage in stages]


def _settings(config: Config, stage: str) -> dict[str, object] | None:
    """The resolved settings to compare with a stage's manifest; None = nothing to compare (the report has none)."""
    if stage == "collect":
        from distil.collect.stage import settings_of

        return settings_of(config.collect, config.teachers)
    section = getattr(config, stage, None)
    return section.model_dump(mode="json") if section is not None else None


def _prompts(project: Project, config: Config, name: str | None) -> object:
    from distil.prompts import stage

    return stage.run(project, config.prompts)


def _collect(project: Project, config: Config, name: str | None) -> object:
    from distil.collect import stage

    return stage.run(project, config.collect, config.teachers)


def curation_judge(project: Project, config: Config) -> Judge | None:
    """The judge that `curate` chooses by, or None: curate.judge, and for `choose: judge` also evaluate.judge."""
    from distil.curate.judge import Judge

    section = config.curate
    model = section.judge or (config.evaluate.judge if section.choose == "judge" else None)
    if model is None or section.choose not in ("judge", "best"):
        return None
    rubric = section.judge_rubric or config.evaluate.judge_rubric
    return Judge(project.ledger, model, rubric=rubric, budget_usd=section.budget_usd)


def _curate(project: Project, config: Config, name: str | None) -> object:
    from distil.curate import stage

    return stage.run(
        project,
        config.curate,
        judge=curation_judge(project, config),
        teachers=[teacher.model for teacher in config.teachers],
        student=config.student,
        max_length=config.train.max_length,
    )


def _signals(project: Project, config: Config, name: str | None) -> object:
    from distil.signals import stage

    return stage.build(
        project,
        config.signals,
        teacher=signal_teacher(config),
        student=config.student,
        temperature=config.train.temperature,
    )


def _train(project: Project, config: Config, name: str | None) -> object:
    from distil.train import stage

    return stage.run(
        project, config.train, config.student, name=name or default_name(config), teacher=config.teachers[0]
    )


def _evaluate(project: Project, config: Config, name: str | None) -> object:
    from distil.evaluate import stage

    return stage.run(
        project, config.evaluate, name=name or default_name(config), teachers=config.teachers, student=config.student
    )


def _cost(project: Project, config: Config, name: str | None) -> object:
    from distil.cost import stage

    return stage.run(project, config.cost, config.teachers, name=name)


def _report(project: Project, config: Config, name: str | None) -> object:
    from distil.report import page

    return page.build(project)


def train_student(
    project: Project, config: Config, name: str, *, max_steps: int | None = None, force: bool = False
) -> TrainResult:
    """Trains a student here; one that is finished and up to date is only reported, unless `force`."""
    from distil.train import stage

    ensure(project, config, "curate", before="train")
    done = step_state(project, config, "train", name)
    if not force and (done.state == "done" or (max_steps is not None and stage.finished(project, name))):
        return stage.kept(project, name, trial=done.state != "done")
    return stage.run(
        project,
        config.train,
        config.student,
        name=name,
        teacher=config.teachers[0],
        max_steps=max_steps,
        force=force,
    )


def calibrate_student(project: Project, config: Config, name: str) -> Calibration:
    """Finds a student's fallback threshold and its guarantee."""
    from distil.evaluate.similarity import cosines
    from distil.evaluate.slices import is_apart
    from distil.serve.calibration import calibrate

    return calibrate.run(
        project,
        config.serve,
        name=name,
        teachers=config.teachers,
        system=config.prompts.system,
        judge=calibration_judge(config),
        similarity=lambda a, b: cosines(a, b).tolist(),
        is_apart=lambda example: is_apart(example, config.evaluate.set_apart),
    )


def serve_student(
    project: Project, config: Config, name: str, on_ready: Callable[[str], None] | None = None
) -> ServeResult:
    """Serves a student until SIGINT or SIGTERM; `on_ready` gets the address."""
    from distil.serve import stage

    def similarity(answers: Sequence[str], targets: Sequence[str]) -> Sequence[float]:
        from distil.evaluate.similarity import cosines

        return cosines(answers, targets).tolist()

    return stage.run(
        project,
        config.serve,
        name=name,
        teachers=config.teachers,
        similarity=similarity,
        system=config.prompts.system,
        judge=calibration_judge(config),
        on_ready=on_ready,
    )


RUNNERS: dict[str, Callable[[Project, Config, str | None], object]] = {
    "prompts": _prompts,
    "collect": _collect,
    "curate": _curate,
    "signals": _signals,
    "train": _train,
    "evaluate": _evaluate,
    "cost": _cost,
    "report": _report,
}
