"""The order of the stages, and running what is left of them. What is done, missing or stale: stage_states.py.

Stages in a fixed order need no scheduler: this is a loop over a tuple. A single command also uses it for the stage before
it (`collect` loads the prompts first).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from distil.config import Config, calibration_judge
from distil.errors import UserError
from distil.progress import say
from distil.runs.artifacts import STAGES, Project
from distil.runs.schemas.asked import read_asked
from distil.stage_states import Step, default_name, left_by_rounds, line, step_state

if TYPE_CHECKING:
    from distil.curate.judge import Judge
    from distil.curate.stage import CurateResult
    from distil.runs.schemas.calibration import Calibration
    from distil.serve.stage import ServeResult
    from distil.train.stage import TrainResult


def run_missing(
    project: Project,
    config: Config,
    *,
    name: str | None = None,
    only: Sequence[str] = STAGES,
    on_step: Callable[[Step], None] | None = None,
) -> list[Step]:
    """Runs every stage of `only` that is missing or stale, in order, and returns the steps that ran.

    `on_step` is called before each.
    """
    ran = []
    for stage, student in line(project, config, name):
        if stage not in only:
            continue
        step = step_state(project, config, stage, student)
        if stage == "collect":
            _keep_to_rounds(project, config, step)
        if step.state == "done":
            continue
        if on_step:
            on_step(step)
        run_stage(project, config, stage, student)
        ran.append(step)
    return ran


def _keep_to_rounds(project: Project, config: Config, step: Step) -> None:
    """Where rounds choose what is asked, nothing else is: says what is left. Raises UserError where nothing is there to use."""
    asked = read_asked(project.asked_in_rounds)
    if asked is None:
        return
    if step.state != "done":
        raise UserError(
            f"Nothing is collected here: {step.why}. Go on with them: `{asked.command}`. To ask for all prompts instead: "
            "`distil collect`."
        )
    if left := left_by_rounds(project, config):
        say(f"Nothing is collected: {left}.")


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


def _prompts(project: Project, config: Config, name: str | None) -> object:
    from distil.prompts import stage

    return stage.run(project, config.prompts)


def require_committee(config: Config) -> None:
    """Before answers to choose among are paid for. Raises UserError where a committee of them could not agree."""
    from distil.curate.committee import quorum_of

    if config.curate.choose == "committee":
        quorum_of(len(config.teachers) * config.collect.samples, config.curate.agree)


def _collect(project: Project, config: Config, name: str | None) -> object:
    from distil.collect import stage

    require_committee(config)
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
    return curate(project, config)


def curate(project: Project, config: Config, *, closed: bool = False) -> CurateResult:
    """Curates the answers. closed: no prompt becomes a test prompt that was none before."""
    from distil.curate import stage

    return stage.run(
        project,
        config.curate,
        judge=curation_judge(project, config),
        teachers=[teacher.model for teacher in config.teachers],
        student=config.student,
        max_length=config.train.max_length,
        closed=closed,
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
