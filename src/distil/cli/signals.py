"""`distil signals`: the teacher's distributions, cached once."""

from __future__ import annotations

import click

from distil.cli.options import Context, distil_command


@click.group()
def command() -> None:
    """Cache the teacher's distributions once, so that it need not be in memory while the student learns."""


@distil_command("distil signals build --set signals.kind=stratified")
def build(context: Context) -> None:
    """Run the teacher over the training examples and store what it would have said."""
    from distil.pipeline import ensure, run_stage

    config = context.config()
    ensure(context.project, config, "curate", before="signals build")
    result = run_stage(context.project, config, "signals", None)
    context.emit(result, lambda: click.echo(str(result)))


@distil_command("distil signals verify")
def verify(context: Context) -> None:
    """Read every shard and compare it with its checksum."""
    from distil.signals import stage

    result = stage.verify(context.project)
    context.emit(result, lambda: click.echo(str(result)))
    if not result.ok:
        raise click.exceptions.Exit(1)


@distil_command("distil signals inspect --example example_0123456789abcdef0123")
@click.option("--example", "example_id", metavar="ID", help="Show the distributions of this example.")
def inspect(context: Context, example_id: str | None) -> None:
    """Show what is cached: bytes a token, mass that is covered, top tokens of an example."""
    from distil.signals import stage

    result = stage.inspect(context.project, example_id)
    context.emit(result, lambda: click.echo(str(result)))


command.add_command(build, "build")
command.add_command(verify, "verify")
command.add_command(inspect, "inspect")
