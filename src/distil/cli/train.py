"""`distil train`: one student."""

from __future__ import annotations

import click

from distil.cli.options import Context, distil_command, show_rows


@distil_command("distil train --as logits --set train.method=logits --set train.temperature=2.0")
@click.option("--as", "name", metavar="NAME", help="Name of the student (default: the training method).")
@click.option(
    "--processes",
    type=int,
    default=None,
    metavar="N",
    help="Number of processes on this machine (torchrun); default 1.",
)
@click.option(
    "--max-steps", type=int, default=None, metavar="N", help="Stop after N optimizer steps (for a trial run)."
)
@click.option("--force", is_flag=True, help="Start over, also where a finished or unfinished training is there.")
def command(context: Context, name: str | None, processes: int | None, max_steps: int | None, force: bool) -> None:
    """Train a student on the curated answers: sft, logits or on_policy. An interrupted training resumes."""
    from distil.pipeline import default_name, ensure, step_state
    from distil.train import stage

    config = context.config(*([f"train.processes={processes}"] if processes else []))
    ensure(context.project, config, "curate", before="train")
    name = name or default_name(config)
    done = step_state(context.project, config, "train", name)
    if not force and (done.state == "done" or (max_steps is not None and stage.finished(context.project, name))):
        result = stage.kept(context.project, name, trial=done.state != "done")
        context.emit(result, lambda: show_rows("Trained before", result.rows()))
        return
    result = stage.run(
        context.project,
        config.train,
        config.student,
        name=name,
        teacher=config.teachers[0],
        max_steps=max_steps,
        force=force,
    )
    context.emit(result, lambda: show_rows("Trained", result.rows()))
