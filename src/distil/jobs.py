"""The jobs of Distil as Python functions: `import distil; distil.collect("mytask")` does what `distil collect` does.

Each takes a project (its folder, or a Project) and settings that override distil.yaml for this call, such as
{"collect.budget_usd": 20}. Results are the records that `--json` prints. They work in a notebook, too, whose event loop runs
already; Ctrl-C there ends them as in a terminal, and the next call goes on. Errors are those of distil.errors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar, cast

from distil import loops, pipeline, stage_states
from distil.config import Config, parse_config, place, read_data
from distil.config_file import scalar
from distil.errors import UserError, did_you_mean
from distil.new_project import new_project
from distil.runs.artifacts import Project

if TYPE_CHECKING:
    from distil.active.result import ActiveResult
    from distil.collect.result import CollectResult
    from distil.curate.stage import CurateResult
    from distil.doctor.finding import Finding
    from distil.forecast.result import Replay
    from distil.plan import Forecast
    from distil.runs.schemas.calibration import Calibration
    from distil.runs.schemas.cost import CostSummary
    from distil.runs.schemas.summary import Summary
    from distil.runs.schemas.until import UntilRound, UntilSummary
    from distil.serve.stage import ServeResult
    from distil.stage_states import Step
    from distil.train.stage import TrainResult

Where = Project | Path | str
Settings = Mapping[str, object]
T = TypeVar("T")


def init(
    folder: Path | str,
    *,
    teacher: str | None = None,
    student: str | None = None,
    prompts: Path | str | None = None,
    template: str | None = None,
    settings: Settings | None = None,
) -> Project:
    """Makes a project folder with a commented distil.yaml; opens the one that is there, which stays as it is."""
    project = Project(Path(folder))
    if not project.config.exists():
        new_project(
            Path(folder),
            teacher=teacher,
            student=student,
            prompts=Path(prompts) if prompts is not None else None,
            template=template,
            overrides=[f"{key}={scalar(value)}" for key, value in _flat(settings or {})],
        )
    return project


def plan(project: Where, settings: Settings | None = None) -> Forecast:
    """What it will cost, before anything is spent: API or logits, dollars, hours, memory, payback."""
    from distil.plan import make

    at, config = _open(project, settings)
    pipeline.ensure(at, config, "prompts", before="plan")
    return _call(lambda: make(at, config))


def forecast(
    logs: Path | str | Sequence[Path | str],
    settings: Settings | None = None,
    *,
    rows: int = 3_000,
    model: str = "",
    prices: Mapping[str, Sequence[float]] | None = None,
) -> Replay:
    """Last month's requests, from logs: which of them a student could answer, and what that would save. Nothing is sent.

    settings: of a distil.yaml, such as {"cost.student_host.input": 0.1}; rows: requests whose texts are looked at; model: of
    requests that name none; prices: a model's name in the log -> $ per million input, output and (if it differs) cached tokens.
    """
    from distil.forecast.options import options_of
    from distil.forecast.replay import forecast as replay

    paths = [Path(logs)] if isinstance(logs, (str, Path)) else [Path(log) for log in logs]
    own = [f"{name}={','.join(map(str, values))}" for name, values in (prices or {}).items()]
    overrides = [f"{key}={scalar(value)}" for key, value in _flat(settings or {})]
    options = options_of(None, overrides, own)._replace(rows=rows, model=model)
    return _call(lambda: replay(paths, options))


def collect(
    project: Where,
    settings: Settings | None = None,
    *,
    only: Literal["failed"] | None = None,
    limit: int | None = None,
    dry_run: bool = False,
) -> CollectResult:
    """Collects the teachers' answers that the ledger does not have yet; none is paid for twice.

    only="failed": those that failed; limit: the first so many prompts; dry_run: a forecast, nothing is sent.
    """
    from distil.collect import stage

    at, config = _open(project, settings)
    pipeline.ensure(at, config, "prompts", before="collect")
    return _call(lambda: stage.run(at, config.collect, config.teachers, only=only, limit=limit, dry_run=dry_run))


def collect_actively(
    project: Where, settings: Settings | None = None, *, rounds: int | None = None, limit: int | None = None
) -> ActiveResult:
    """Collects in rounds, each where a student of the answers so far is unsure; what earlier calls chose counts.

    rounds: how many in all (None = 4); limit: prompts to ask in all of them (None = half of the open ones).
    """
    from distil.active import run as active
    from distil.active.sizes import ROUNDS

    at, config = _open(project, settings)
    pipeline.ensure(at, config, "prompts", before="collect")
    return _call(lambda: active.run(at, config, rounds=ROUNDS if rounds is None else rounds, limit=limit))


def until(
    project: Where,
    budget_usd: float,
    settings: Settings | None = None,
    *,
    name: str | None = None,
    accept_fallback: bool = False,
    on_round: Callable[[UntilRound], None] | None = None,
) -> UntilSummary:
    """Collects, trains and evaluates in rounds until SHIP is proven, or shown to be out of reach for the money.

    budget_usd: a hard cap on all that it ever pays in this project; name: of the student; accept_fallback: SHIP WITH FALLBACK is
    enough; on_round: called with each round that ends. It asks nobody. After an interruption the same call goes on.
    """
    from distil.until.run import Until
    from distil.until.wish import Wish

    if not 0 <= budget_usd < float("inf"):
        raise UserError(f"budget_usd: found {budget_usd}, expected an amount of dollars, such as 40")
    at, config = _open(project, settings)
    pipeline.ensure(at, config, "prompts", before="until")
    student = name or stage_states.current_student(at, config)
    wish = Wish("SHIP WITH FALLBACK" if accept_fallback else "SHIP", budget_usd, student)
    return _call(lambda: Until(at, config, wish).run(on_round))


def curate(project: Where, settings: Settings | None = None) -> CurateResult:
    """Filters the answers, removes duplicates, splits without leakage."""
    at, config = _open(project, settings)
    pipeline.ensure(at, config, "collect", before="curate")
    return cast("CurateResult", _call(lambda: pipeline.run_stage(at, config, "curate", None)))


def train(
    project: Where,
    settings: Settings | None = None,
    *,
    name: str | None = None,
    max_steps: int | None = None,
    force: bool = False,
) -> TrainResult:
    """Trains a student (default name: the training method); a finished one that is up to date is only reported."""
    at, config = _open(project, settings)
    student = name or stage_states.default_name(config)
    return _call(lambda: pipeline.train_student(at, config, student, max_steps=max_steps, force=force))


def evaluate(
    project: Where, settings: Settings | None = None, *, name: str | None = None, answers: Path | str | None = None
) -> Summary:
    """Compares a student with its teacher and its base on the held-out prompts: error bars and a verdict.

    answers: a file with a student's answers, or a model or server that gives them, instead of a student that was trained here;
    `name` is what it is called (default: as the file).
    """
    at, config = _open(project, settings)
    if answers is not None:
        return _evaluate_answers(at, config, str(answers), name)
    student = _trained(at, config, name)
    return cast("Summary", _call(lambda: pipeline.run_stage(at, config, "evaluate", student)))


def calibrate(project: Where, settings: Settings | None = None, *, name: str | None = None) -> Calibration:
    """Finds the confidence above which a student may answer by itself, with a guarantee; `threshold` None: there is none."""
    at, config = _open(project, settings)
    student = _trained(at, config, name)
    return _call(lambda: pipeline.calibrate_student(at, config, student))


def cost(project: Where, settings: Settings | None = None, *, name: str | None = None) -> CostSummary:
    """The bill before and after, with intervals and the payback."""
    from distil.cost import stage

    at, config = _open(project, settings)
    student = _trained(at, config, name) if name is not None or at.students() else None
    return stage.run(at, config.cost, config.teachers, name=student)


def doctor(project: Where, settings: Settings | None = None) -> list[Finding]:
    """What is wrong and what to change, from the files in the project."""
    from distil.doctor import checks

    at, config = _open(project, settings)
    return checks.run(at, config=config)


def report(project: Where, settings: Settings | None = None) -> Path:
    """Writes the HTML page with all results, and returns its path."""
    from distil.report import page

    return page.build(_open(project, settings)[0])


def serve(
    project: Where,
    settings: Settings | None = None,
    *,
    name: str | None = None,
    on_ready: Callable[[str], None] | None = None,
) -> ServeResult:
    """Serves a student until it is interrupted; `on_ready` gets the address `http://HOST:PORT/v1#NAME`."""
    at, config = _open(project, settings)
    student = _trained(at, config, name)
    return _call(lambda: pipeline.serve_student(at, config, student, on_ready))


def run(project: Where, settings: Settings | None = None, *, name: str | None = None) -> list[Step]:
    """Every stage that is missing or stale, in order; returns those that ran."""
    at, config = _open(project, settings)
    return _call(lambda: pipeline.run_missing(at, config, name=name))


def status(project: Where, settings: Settings | None = None, *, name: str | None = None) -> list[Step]:
    """Every stage with its state, in order."""
    at, config = _open(project, settings)
    return stage_states.steps(at, config, name)


def _evaluate_answers(project: Project, config: Config, answers: str, name: str | None) -> Summary:
    from distil.evaluate import stage
    from distil.evaluate.given import check_name, elsewhere

    source = elsewhere(answers, project)
    student = check_name(name) if name is not None else source.name
    return _call(
        lambda: stage.run(
            project, config.evaluate, name=student, teachers=config.teachers, student=config.student, answers=source
        )
    )


def _open(where: Where, settings: Settings | None) -> tuple[Project, Config]:
    """Raises UserError: no project there, an unknown key, a bad value."""
    project = where if isinstance(where, Project) else Project(Path(where))
    if not project.config.exists():
        raise UserError(
            f"{project.root} is not a Distil project: it has no distil.yaml. Make one: distil.init({str(where)!r}, teacher=..., "
            "student=..., prompts=...)"
        )
    source = str(project.config)
    data = read_data(project.config.read_text(encoding="utf-8"), source)
    for key, value in _flat(settings or {}):
        place(data, key.split("."), value)
    return project, parse_config(data, source)


def _flat(settings: Settings, prefix: str = "") -> Iterator[tuple[str, object]]:
    """{"train": {"epochs": 2}} means the same as {"train.epochs": 2}: the other keys of the section stay."""
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _trained(project: Project, config: Config, name: str | None) -> str:
    """The student that is meant. Raises UserError when it was not trained."""
    trained = project.students()
    if name is None and trained:
        return stage_states.chosen_student(project, config, trained)
    student = name or stage_states.default_name(config)
    if student in trained:
        return student
    hint = did_you_mean(student, trained) or (f" Trained: {', '.join(trained)}." if trained else "")
    raise UserError(
        f"There is no trained student {student!r}.{hint} To train it: distil.train(project, name={student!r})"
    )


def _call(job: Callable[[], T]) -> T:
    return loops.beside(job) if loops.loop_is_running() else job()
