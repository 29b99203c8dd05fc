"""`distil signals`: the teacher's distributions, cached."""

from __future__ import annotations

import click

from distil.cli.options import CommandGroup, Context, distil_command, echo


@click.group(cls=CommandGroup)
def command() -> None:
    """Cache the teacher's distributions, so that the teacher need not be in memory during training."""


@distil_command("distil signals build --set signals.kind=top_k")
@click.option(
    "--part", metavar="I/N", help="Only part I of N (0/2, 1/2, ...), so that several machines can fill one folder."
)
def build(context: Context, part: str | None) -> None:
    """Run the teacher on the training examples and store its distributions."""
    from distil.pipeline import ensure, signal_teacher

    config = context.config()
    ensure(context.project, config, "curate", before="signals build")
    from distil.signals import stage  # loads torch, which takes seconds

    result = stage.build(
        context.project,
        config.signals,
        teacher=signal_teacher(config),
        student=config.student,
        temperature=config.train.temperature,
        part=_part(part),
    )
    context.emit(result, lambda: echo(str(result)))


def _part(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    first, slash, count = text.partition("/")
    if not (slash and first.isdigit() and count.isdigit()):
        raise click.BadParameter(
            f"found {text!r}, expected I/N such as 0/2 for the first of two parts", param_hint="--part"
        )
    return int(first), int(count)


@distil_command("distil signals verify")
def verify(context: Context) -> None:
    """Check every shard against its checksum."""
    from distil.signals import stage

    result = stage.verify(context.project)
    context.emit(result, lambda: echo(str(result)))
    if not result.ok:
        raise click.exceptions.Exit(1)


@distil_command("distil signals inspect --example example_0123456789abcdef0123")
@click.option("--example", "example_id", metavar="ID", help="Show the distributions of this example.")
def inspect(context: Context, example_id: str | None) -> None:
    """Show what is cached: bytes per token, covered mass, top tokens of an example."""
    from distil.signals import stage

    result = stage.inspect(context.project, example_id)
    context.emit(result, lambda: echo(str(result)))


command.add_command(build, "build")
command.add_command(verify, "verify")
command.add_command(inspect, "inspect")
