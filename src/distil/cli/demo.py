"""`distil demo`: the whole loop on the bundled teacher and student, through the same stages and over HTTP as in a real project.

The teacher runs behind an OpenAI-compatible server on loopback, in a separate process, at an example price. Finished stages
are skipped, so an interrupted demo resumes. `make demo` runs this after installing. What it prints at the end is in
demo_result.py.
"""

from __future__ import annotations

import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

import click

from distil.cli.options import Context, as_typed, distil_command, echo, say
from distil.errors import UserError

if TYPE_CHECKING:
    from distil.cli.demo_gateway import Answered
    from distil.config import Config
    from distil.runs.artifacts import Project
    from distil.runs.schemas.calibration import Calibration

PORT = 8765
PROMPTS = 2000
HELD_OUT = 300  # shows a loss of up to 3 points to be within the margin of 5
UNSEEN_WORDINGS = 120
RISK = 0.1
"""Of a bad answer where the student answers: by the frontier of the test messages it then answers nine of ten; the teacher is
wrong in one of twenty."""
EXAMPLE_PRICE = {"input": 0.25, "output": 2.0}


class Student(NamedTuple):
    """One of the students that the demo trains."""

    name: str
    what: str
    """In a few words."""
    settings: tuple[str, ...]
    """Config overrides."""


RIVAL = "baseline"  # what a teacher has to beat, not a student to ship
STUDENTS = (
    Student(RIVAL, "fine-tuned on the references, no teacher", ("train.target=reference",)),
    Student("sft", "fine-tuned on the teacher's answers", ()),
    Student("logits", "also matched to the teacher's distributions", ("train.method=logits",)),
)


@distil_command("distil demo --dir demo")
@click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path),
    default="demo",
    show_default=True,
    help="Folder for the project.",
)
@click.option(
    "--prompts",
    type=click.IntRange(min=50),
    default=None,
    help=f"Number of prompts to train on (default: {PROMPTS}); {HELD_OUT + UNSEEN_WORDINGS} more are held out.",
)
@click.option("--port", type=int, default=None, help=f"Local port of the teacher's server (default: {PORT}).")
def command(context: Context, folder: Path, prompts: int | None, port: int | None) -> None:
    """Run the whole loop on the bundled teacher and student: no key, no GPU, about five minutes."""
    from distil.cli.demo_gateway import show_gateway
    from distil.cli.demo_result import gather, show
    from distil.config import load_config
    from distil.runs.artifacts import Project

    start = time.monotonic()
    project = Project(folder)
    if project.config.exists():
        _check_same(project, prompts, port)
    else:
        _prepare(project, prompts or PROMPTS, port or PORT)
    config = load_config(project, context.overrides)
    calibration = _run_stages(project, config, context.overrides)
    answered = _serve(project, config, calibration)
    result = gather(project, [student.name for student in STUDENTS])

    def show_all() -> None:
        show(result, {student.name: student.what for student in STUDENTS})
        show_gateway(calibration, answered)
        echo(f"Your own task: {as_typed()} init mytask")
        if as_typed() != "distil":
            say(f"(`source {Path(as_typed()).parent}/activate` makes it `distil` in this shell.)")

    context.emit({**result._asdict(), "calibration": calibration, "gateway": answered}, show_all)
    say(f"The demo took {(time.monotonic() - start) / 60:.1f} minutes.")


def _prepare(project: Project, prompts: int, port: int) -> None:
    """The project folder: prompts from the generator, then the config, whose presence says that the folder is complete."""
    from distil.bundled.triage import write_prompts
    from distil.config_file import write_config

    project.root.mkdir(parents=True, exist_ok=True)
    write_prompts(_prompts_file(project), train=prompts, test=HELD_OUT, unseen=UNSEEN_WORDINGS)
    project.config.write_text(write_config(demo_config(port)), encoding="utf-8")


def demo_config(port: int) -> Config:
    """The config with the teacher's loopback address and example price."""
    from distil.bundled.triage import SYSTEM
    from distil.config import parse_config

    teacher = {
        "model": f"http://127.0.0.1:{port}/v1#teacher",
        "sampling": {"temperature": 0.7, "max_tokens": 80},
        "price": EXAMPLE_PRICE,
    }
    sections = {
        "task": "support-triage",
        "prompts": {"path": "prompts.jsonl", "system": SYSTEM},
        "teachers": [teacher],
        "curate": {"validation": 0.1},
        "student": {"model": "bundled/student"},
        "train": {
            "epochs": 3,
            "learning_rate": 2.0e-3,
            "batch_size": 8,  # in equal time far better than 16 here: twice as many steps
            "teachers": [{"model": "bundled/teacher"}],
        },
        "evaluate": {
            "local_teacher": "bundled/teacher",
            "set_apart": {"wording": "unseen"},
            "students": len([student for student in STUDENTS if student.name != RIVAL]),
        },
        "serve": {"risk": RISK},
        "cost": {"student_host": {"usd_per_hour": 0.08}},
    }
    return parse_config(sections, "distil demo")


def _prompts_file(project: Project) -> Path:
    return project.root / "prompts.jsonl"


def _check_same(project: Project, prompts: int | None, port: int | None) -> None:
    """Refuses to resume what another version made, or what the options contradict. Raises UserError with what to type."""
    another = f"Delete {project.root}, or choose another folder: distil demo --dir demo2"
    made = _made_with(project)
    if made is None:
        raise UserError(f"{project.root} is not a demo of this version of Distil, so it can't be resumed. {another}")
    if prompts is not None and prompts != made.prompts:
        raise UserError(
            f"{project.root} is a demo with {made.prompts:,} prompts to train on, not {prompts:,}. {another}"
        )
    if port is not None and port != made.port:
        raise UserError(f"{project.root} is a demo whose teacher has port {made.port}, not {port}. {another}")


class Made(NamedTuple):
    """The options that an earlier call made the folder with."""

    prompts: int
    port: int


def _made_with(project: Project) -> Made | None:
    """None when the folder's prompts are not this version's, or its config can't be read."""
    from distil.bundled.triage import prompt_rows
    from distil.config import load_config
    from distil.runs.jsonl import read_lines

    held_out = list(prompt_rows(train=0, test=HELD_OUT, unseen=UNSEEN_WORDINGS))
    try:
        rows = [row for _, row in read_lines(_prompts_file(project))]
        config = load_config(project)
    except UserError:
        return None
    if rows[-len(held_out) :] != held_out or not config.teachers:
        return None
    return Made(len(rows) - len(held_out), _port(config))


def _port(config: Config) -> int:
    return urlsplit(config.teachers[0].model).port or PORT


class Step(NamedTuple):
    """One stage of the demo."""

    stage: str
    config: Config
    note: str
    """What happens, in a few words."""
    student: str | None = None


def _steps(project: Project, config: Config, overrides: list[str]) -> list[Step]:
    from distil.config import load_config

    price = f"${EXAMPLE_PRICE['input']}/${EXAMPLE_PRICE['output']} per million tokens"
    return [
        Step("prompts", config, "customer messages from a seeded generator"),
        Step("collect", config, f"query the teacher over HTTP at {price}"),
        Step("curate", config, "filter, remove duplicates, split"),
        *(
            Step("train", load_config(project, [*overrides, *student.settings]), student.what, student.name)
            for student in STUDENTS
        ),
        *(
            Step("evaluate", config, f"{HELD_OUT} new messages, and {UNSEEN_WORDINGS} in unseen wordings", student.name)
            for student in STUDENTS
        ),
    ]


def _run_stages(project: Project, config: Config, overrides: list[str]) -> Calibration:
    """Every stage that is not done yet, with the teacher's server running; then the bill and the page, which cost nothing.

    Returns the calibration of the student that the page begins with.
    """
    from distil.bundled.server import teacher_server
    from distil.cli.demo_gateway import calibrate_demo
    from distil.cli.demo_result import headline
    from distil.pipeline import run_stage
    from distil.stage_states import step_state

    steps = _steps(project, config, overrides)
    states = [step_state(project, step.config, step.stage, step.student).state for step in steps]
    with nullcontext() if set(states) == {"done"} else teacher_server("bundled/teacher", port=_port(config)):
        for step in steps:
            _run(project, step)
    name = headline(project).name
    echo(f"\n$ distil cost; distil calibrate {name}", bold=True, nl=False, err=True)
    echo(f"   where the student answers at most {config.serve.risk:.0%} badly", dim=True, err=True)
    run_stage(project, config, "cost", name)  # the frontier is priced by it, and the bill then knows the coverage
    calibration = calibrate_demo(project, config, name)
    echo("\n$ distil cost; distil report", bold=True, err=True)
    run_stage(project, config, "cost", name)
    run_stage(project, config, "report", None)
    return calibration


def _serve(project: Project, config: Config, calibration: Calibration) -> list[Answered]:
    """The gateway's answers to two messages, with the teacher's server running; no answers where nothing is certified."""
    from distil.bundled.server import teacher_server
    from distil.cli.demo_gateway import ask_gateway, two_messages

    name, messages = calibration.student, two_messages(project, config, calibration)
    if not messages:
        return []
    echo(f"\n$ distil serve {name}", bold=True, nl=False, err=True)
    echo("   a message that the student is sure of, and one that it is unsure of", dim=True, err=True)
    with teacher_server("bundled/teacher", port=_port(config)):
        return ask_gateway(project, name, messages)


def _run(project: Project, step: Step) -> None:
    from distil.pipeline import run_stage
    from distil.stage_states import step_state

    state = step_state(project, step.config, step.stage, step.student)
    if state.state == "done":
        echo(f"{state.command}: already done", dim=True, err=True)
        return
    echo(f"\n$ {state.command}", bold=True, nl=False, err=True)
    echo(f"   {step.note}", dim=True, err=True)
    run_stage(project, step.config, step.stage, step.student)
