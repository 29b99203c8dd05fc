"""`distil status`: what is done, what is stale, what comes next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from distil.cli import completion
from distil.cli.options import Context, distil_command, dollars, echo, here, table

if TYPE_CHECKING:
    from distil.calls.batch.job import BatchJob
    from distil.runs.artifacts import Project


STYLES = {"done": "green", "stale": "yellow", "missing": "dim", "running": "green", "stopped": "dim", "ALARM": "red"}


@distil_command("distil status --project mytask")
@click.option(
    "--as",
    "name",
    metavar="NAME",
    shell_complete=completion.students,
    help="Which student (default: the last one trained by train.method).",
)
def command(context: Context, name: str | None) -> None:
    """Show what is done, what is stale, and what to type next."""
    from distil.calls.batch.job import BatchFolder
    from distil.config import calibration_judge
    from distil.runs.manifest import read_manifest
    from distil.serve.live.report import retrain, serving
    from distil.stage_states import steps

    config = context.config()
    rows = steps(context.project, config, name)
    manifests = {(s.stage, s.name): read_manifest(context.project, s.stage, s.name) for s in rows}
    next_step = next((s for s in rows if s.state != "done"), None)
    batches = BatchFolder(context.project.batches).open_jobs()
    tuning = describe_open_jobs(context.project)
    students = serving(context.project, config.serve, config.teachers, config.prompts.system, calibration_judge(config))
    retraining = [line for line in (retrain(context.project, one) for one in students) if line]
    value = {
        "stages": [{"stage": s.stage, "name": s.name, "state": s.state, "why": s.why} for s in rows],
        "open_batches": [{"model": b.model, "requests": b.rows, "since": b.created} for b in batches],
        "open_fine_tuning": tuning,
        "students": context.project.students(),
        "serving": [
            {"student": one.name, "calibration": one.state, "calibrated": one.calibrated(), "served": one.served()}
            | {"gateway": None if one.gateway is None else one.gateway.model_dump(mode="json")}
            for one in students
        ],
        "retrain": retraining,
        "next": next_step.command if next_step else None,
    }

    def show() -> None:
        lines: list[tuple[str, str, str, str]] = []
        for step in rows:
            manifest = manifests[(step.stage, step.name)]
            spent = dollars(manifest.usd) if manifest and manifest.usd else ""
            stage = f"{step.stage} {step.name}" if step.name else step.stage
            lines.append((stage, step.state, step.why, spent))
        for one in students:
            lines.append((f"calibrate {one.name}", one.state, one.calibrated(), ""))
            if one.gateway is not None:
                lines.append((f"serve {one.name}", one.gateway_word, one.served(), ""))
        table("", ("stage", "state", "why", "spent"), lines, left=3, styles=STYLES)
        others = [s for s in context.project.students() if s not in {r.name for r in rows}]
        if others:
            echo(f"Other students: {', '.join(others)} (`distil status --as {others[-1]}`)")
        for line in [
            *tuning,
            *(one.gateway.shadow for one in students if one.gateway and one.gateway.shadow),
            *retraining,
        ]:
            echo(line)
        if batches:
            echo(describe_open_batches(batches))
        done = f"Everything is up to date. Report: {context.project.report}"
        echo(f"Next: {here(next_step.command, context.project)}" if next_step else done)

    context.emit(value, show)


def describe_open_jobs(project: Project) -> list[str]:
    """One line about each fine-tuning job that is under way at a provider."""
    from distil.runs.schemas.provider_job import read_provider_job

    lines = []
    for path in sorted(project.stage("train").glob("*/provider.json")):
        job, name = read_provider_job(path), path.parent.name
        if job is not None and not job.over:
            state = job.word or job.state
            command = f"distil train --provider {job.provider} --as {name}"
            what = f"{name} ({job.job_id or 'no job yet'}, {state})"
            lines.append(f"Under way at {job.provider}: {what}. `{command}` goes on with it.")
    return lines


def describe_open_batches(batches: Sequence[BatchJob]) -> str:
    """One line about the unfinished batches (oldest first)."""
    count, rows = len(batches), sum(job.rows for job in batches)
    since = batches[0].created[:16].replace("T", " ")
    models = ", ".join(dict.fromkeys(job.model for job in batches))
    return (
        f"Open at the provider: {count} batch{'es' if count > 1 else ''} of {models}, {rows:,} "
        f"request{'s' if rows > 1 else ''}, since {since} UTC. `distil collect` waits for "
        f"{'them' if count > 1 else 'it'} and fetches the answers; nothing is paid for twice."
    )
