"""`distil demo`: the whole loop on the bundled teacher and student, through the same stages and over HTTP as in a real project.

The teacher runs behind an OpenAI-compatible server on loopback, in a separate process, at an example price. Finished stages
are skipped, so an interrupted demo resumes. `make demo` runs this after installing.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from distil.cli.options import Context, distil_command, dollars, echo, say, table

if TYPE_CHECKING:
    from distil.config import Config
    from distil.runs.artifacts import Project

PORT = 8765
HELD_OUT = 210  # 200 are needed, and a few answers will not be usable
EXAMPLE_PRICE = {"input": 0.25, "output": 2.0}
STUDENTS: dict[str, tuple[str, list[str]]] = {
    "baseline": ("fine-tuned on the references, no teacher", ["train.target=reference"]),
    "sft": ("fine-tuned on the teacher's answers", []),
    "logits": ("also matched to the teacher's distributions", ["train.method=logits"]),
}


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
    type=int,
    default=1500,
    show_default=True,
    help="Number of prompts to train on (210 more are held out).",
)
@click.option("--port", type=int, default=PORT, show_default=True, help="Local port of the teacher's server.")
def command(context: Context, folder: Path, prompts: int, port: int) -> None:
    """Run the whole loop on the bundled teacher and student: no key, no GPU, about five minutes."""
    from distil.config import load_config
    from distil.runs.artifacts import Project

    start = time.monotonic()
    project = Project(folder)
    if not project.config.exists():
        _prepare(project, prompts, port)
    config = load_config(project, context.overrides)
    _run(project, config, context.overrides, port)
    value = summary(project, time.monotonic() - start)
    context.emit(value, lambda: _show(value))


def _prepare(project: Project, prompts: int, port: int) -> None:
    """The project folder: prompts from the generator, and a config with the teacher's loopback address and example price."""
    from distil.bundled.triage import SYSTEM, write_prompts
    from distil.config import parse_config, write_config

    teacher = {
        "model": f"http://127.0.0.1:{port}/v1#teacher",
        "sampling": {"temperature": 0.7, "max_tokens": 80},
        "price": EXAMPLE_PRICE,
    }
    config = parse_config(
        {
            "task": "support-triage",
            "prompts": {"path": "prompts.jsonl", "system": SYSTEM},
            "teachers": [teacher],
            "student": {"model": "bundled/student"},
            "train": {
                "epochs": 4,
                "learning_rate": 2.0e-3,
                "batch_size": 16,
                "teachers": [{"model": "bundled/teacher"}],
            },
            "evaluate": {"local_teacher": "bundled/teacher"},
            "cost": {"student_host": {"usd_per_hour": 0.08}},
        },
        "distil demo",
    )
    project.root.mkdir(parents=True, exist_ok=True)
    write_prompts(project.root / "prompts.jsonl", prompts, HELD_OUT, 0)
    project.config.write_text(write_config(config), encoding="utf-8")


def _run(project: Project, config: Config, overrides: list[str], port: int) -> None:
    from distil.bundled.server import teacher_server
    from distil.config import load_config
    from distil.pipeline import run_stage, step_state

    def step(stage: str, config: Config, name: str | None = None, note: str = "") -> None:
        state = step_state(project, config, stage, name)
        if state.state == "done":
            say(click.style(f"{state.command}: already done", dim=True))
            return
        say(click.style(f"\n$ {state.command}", bold=True) + click.style(f"   {note}", dim=True))
        run_stage(project, config, stage, name)

    step("prompts", config, note="customer messages from a seeded generator")
    with teacher_server("bundled/teacher", port=port, name="teacher"):
        price = f"${EXAMPLE_PRICE['input']}/${EXAMPLE_PRICE['output']} per million tokens"
        step("collect", config, note=f"query the teacher over HTTP at {price}")
        step("curate", config, note="filter, remove duplicates, split")
        for name, (what, settings) in STUDENTS.items():
            step("train", load_config(project, [*overrides, *settings]), name, what)
        for name in STUDENTS:
            step("evaluate", config, name, "held-out messages, in words never seen in training")
    say(click.style("\n$ distil cost; distil doctor; distil report", bold=True))
    run_stage(project, config, "cost", "logits")
    run_stage(project, config, "report", None)


def summary(project: Project, seconds: float) -> dict[str, Any]:
    """The figures of the summary, read from what the stages wrote."""
    from distil.doctor import checks
    from distil.runs.jsonl import read_document
    from distil.runs.schemas.cost import CostSummary
    from distil.runs.schemas.summary import read_summary

    cost = read_document(project.cost, CostSummary, command="distil cost")
    rows = []
    last = None
    for name in STUDENTS:
        last = read_summary(project.summary(name))
        for model in (["teacher", "base"] if name == "baseline" else []) + [name]:
            metrics, size, speed = last.models.get(model, {}), last.size.get(model), last.speed.get(model)
            rows.append(
                {
                    "model": model,
                    "similarity": _value(metrics.get("similarity")),
                    "field_accuracy": _value(metrics.get("field_accuracy")),
                    "parameters": size.parameters if size else None,
                    "tokens_per_second": speed.tokens_per_second if speed else None,
                }
            )
    assert last is not None
    findings = [f for f in checks.run(project) if f.level in ("warn", "problem")]
    return {
        "seconds": seconds,
        "models": rows,
        "usd_per_million_requests": cost.per_million_requests,
        "spent_usd": cost.one_time_usd,
        "payback": cost.options[1].payback,
        "verdict": last.verdict.sentence,
        "decision": last.verdict.decision,
        "findings": [f.seen for f in findings],
        "report": project.report,
    }


def _value(interval: Any) -> list[float | None] | None:
    return None if interval is None else [interval.mean, interval.low, interval.high]


def _show(value: dict[str, Any]) -> None:
    def cell(figure: list[float] | None, percent: bool) -> str:
        if figure is None:
            return "-"
        mean, low, _ = figure
        half = 0.0 if low is None else mean - low
        return f"{mean:.1%} ± {half:.1%}" if percent else f"{mean:.3f} ± {half:.3f}"

    prices = value["usd_per_million_requests"]
    rows = []
    for row in value["models"]:
        usd = prices["teacher"] if row["model"] == "teacher" else prices["student"]
        quality = (cell(row["similarity"], False), cell(row["field_accuracy"], True))
        size = "-" if row["parameters"] is None else f"{row['parameters'] / 1e6:.1f}M"
        speed = "-" if row["tokens_per_second"] is None else f"{row['tokens_per_second']:,.0f}"
        rows.append((row["model"], *quality, size, speed, "?" if usd is None else dollars(usd)))
    table("", ("", "similarity", "field accuracy", "size", "tokens/s", "$ per 1M requests"), rows)
    echo(f"Spent on the teacher: {dollars(value['spent_usd'])}. Payback: {value['payback']}.")
    echo(value["decision"], bold=True, nl=False)
    echo(f": {value['verdict']}")
    echo(
        f"`distil doctor` reports {len(value['findings'])} things to look at. The demo took {value['seconds'] / 60:.1f} minutes."
    )
    echo(f"Report: {value['report']}")
