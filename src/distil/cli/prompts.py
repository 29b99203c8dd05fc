"""`distil prompts`: load them, see which kinds there are, or generate more like them."""

from __future__ import annotations

from typing import Literal

import click

from distil.cli.options import CommandGroup, Context, Dollars, distil_command, show_rows


@click.group(cls=CommandGroup)
def command() -> None:
    """Load the prompts, see which kinds there are, or let the teacher write more like them."""


@distil_command("distil prompts load --set prompts.path=questions.csv")
def load(context: Context) -> None:
    """Read prompts.path into work/prompts/prompts.jsonl (`collect` does this when needed)."""
    from distil.prompts import stage

    result = stage.run(context.project, context.config().prompts)
    context.emit(result, lambda: show_rows("Prompts", result.rows()))


@distil_command("distil prompts expand --count 500 --budget 2")
@click.option(
    "--count", type=click.IntRange(min=1), required=True, metavar="N", help="Number of new prompts to aim for."
)
@click.option(
    "--budget",
    type=Dollars(),
    default=None,
    metavar="USD",
    help="Dollar cap for expanding this project, over all runs (default: collect.budget_usd).",
)
@click.option(
    "--similarity",
    type=click.FloatRange(0, 1),
    default=0.7,
    show_default=True,
    help="Drop new prompts that are more similar than this to another.",
)
@click.option(
    "--seed", type=int, default=0, show_default=True, help="Seed for choosing the examples shown to the teacher."
)
def expand(context: Context, count: int, budget: float | None, similarity: float, seed: int) -> None:
    """Let the teacher write more prompts like yours, and report which kinds are still rare."""
    from distil.pipeline import ensure
    from distil.prompts import expand as expansion

    config = context.config()
    ensure(context.project, config, "prompts", before="prompts expand")
    result = expansion.run(
        context.project,
        teachers=config.teachers,
        count=count,
        budget_usd=config.collect.budget_usd if budget is None else budget,
        seed=seed,
        similarity=similarity,
    )
    context.emit(result, lambda: show_rows("Expanded", result.rows()))


@distil_command("distil prompts coverage")
@click.option("--kinds", type=click.IntRange(min=1), metavar="N", help="Number of kinds (default: about sqrt(n / 2)).")
@click.option(
    "--by",
    type=click.Choice(["auto", "meaning", "words"]),
    default="auto",
    show_default=True,
    help="meaning: MiniLM (distil[evaluate]); words: any script, nothing to install; auto: meaning where it can be had.",
)
@click.option(
    "--similarity",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.7,
    show_default=True,
    help="Prompts that are more similar than this count as near repeats.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the clustering.")
def coverage(
    context: Context, kinds: int | None, by: Literal["auto", "meaning", "words"], similarity: float, seed: int
) -> None:
    """Which kinds of prompts there are, which are rare, and how many nearly repeat others. Costs nothing."""
    from distil.pipeline import ensure
    from distil.prompts.survey import survey

    ensure(context.project, context.config(), "prompts", before="prompts coverage")
    result = survey(context.project, by=by, clusters=kinds, similarity=similarity, seed=seed)
    context.emit(result, lambda: show_rows("Coverage", result.rows()))


command.add_command(load, "load")
command.add_command(coverage, "coverage")
command.add_command(expand, "expand")
