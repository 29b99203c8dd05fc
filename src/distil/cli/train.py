"""`distil train`: one student, here or at a provider."""

from __future__ import annotations

import signal
import sys

import click

from distil.cli import completion
from distil.cli.options import Context, distil_command, echo, say, show_rows


@distil_command("distil train --as logits --set train.method=logits --set train.temperature=2.0")
@click.option(
    "--as",
    "name",
    metavar="NAME",
    shell_complete=completion.students,
    help="Name of the student (default: the training method, or the provider).",
)
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
@click.option(
    "--provider",
    metavar="NAME",
    help="Fine-tune at together, fireworks, azure or openai instead; the same command goes on with a job.",
)
@click.option("--base", metavar="MODEL", help="--provider: the model to tune, as it names it (default: student.model).")
@click.option("--yes", is_flag=True, help="--provider: send the data and pay up to train.budget_usd without asking.")
@click.option("--cancel", is_flag=True, help="--provider: stop the job of this student.")
def command(
    context: Context,
    name: str | None,
    processes: int | None,
    max_steps: int | None,
    force: bool,
    provider: str | None,
    **there: str | bool | None,
) -> None:
    """Train a student on the curated answers: sft, logits, on_policy or dpo. An interrupted training resumes."""
    from distil.errors import UserError
    from distil.pipeline import train_student
    from distil.stage_states import default_name

    if provider is not None:
        _at_provider(context, name, provider, processes, max_steps, force, **there)
        return
    alone = next((option for option, value in there.items() if value), None)
    if alone is not None:
        raise UserError(
            f"--{alone} is for fine-tuning at a provider. Add --provider together, fireworks, azure or openai."
        )
    config = context.config(*([f"train.processes={processes}"] if processes else []))
    result = train_student(context.project, config, name or default_name(config), max_steps=max_steps, force=force)
    title = "Trained before" if result.before else "Trained"
    context.emit(result, lambda: show_rows(title, result.rows()))


def _at_provider(
    context: Context,
    name: str | None,
    provider: str,
    processes: int | None,
    max_steps: int | None,
    force: bool,
    **there: str | bool | None,
) -> None:
    """--provider: a job there, or what is asked of one that is there."""
    from distil.errors import UserError
    from distil.pipeline import ensure
    from distil.train.provider import stage

    if processes is not None or max_steps is not None:
        raise UserError("--processes and --max-steps are for training here; a provider decides both. Leave them out.")
    config = context.config()
    student = name or provider
    if there["cancel"]:
        job = stage.cancel_job(context.project, name=student, provider=provider)
        say(
            f"Asked {provider} to stop the job {job.job_id}. What was trained until then may be billed; `distil train --provider "
            f"{provider} --as {student}` says how it ended."
        )
        return
    ensure(context.project, config, "curate", before="train")
    result = stage.run(
        context.project,
        config.train,
        config.student,
        name=student,
        provider=provider,
        base=str(there["base"]) if there["base"] else None,
        force=force,
        agree=lambda question: _agreed(question, yes=bool(there["yes"])),
    )
    context.emit(result, lambda: show_rows("Tuned", result.rows()))


def _agreed(question: str, *, yes: bool) -> bool:
    """Asks a person, unless --yes has answered already. Raises UserError where nobody can answer."""
    from distil.errors import UserError

    facts, _, asked = question.rpartition("\n")
    say(facts)
    if yes:
        return True
    echo(asked, nl=False, err=True)
    if not sys.stdin.isatty():
        echo("", err=True)
        raise UserError(
            "Nobody can be asked, because this is not a terminal. Nothing was sent. Add --yes to agree; train.budget_usd caps it."
        )
    # The event loop's own handler would let the first Ctrl-C pass while a person is asked.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return click.confirm("", prompt_suffix=" ", err=True)
    except click.Abort:
        raise KeyboardInterrupt from None
    finally:
        signal.signal(signal.SIGINT, before)
