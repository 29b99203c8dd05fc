"""`distil collect`: ask the teacher(s)."""

from __future__ import annotations

from pathlib import Path

import click

from distil.cli.options import Context, distil_command, say, show_rows


@distil_command("distil collect --set collect.budget_usd=20 --limit 100")
@click.option("--only", type=click.Choice(["failed"]), help="Ask only what failed the last time.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Only the first N prompts.")
@click.option("--dry-run", is_flag=True, help="Ask nothing; say what it would cost.")
@click.option("--rebuild", is_flag=True, help="Make answers.jsonl anew from the ledger; ask nothing.")
@click.option(
    "--from-log",
    "logs",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="FILE",
    help="First take in an OpenAI-format log of requests and replies, at no cost (may be given several times).",
)
@click.option("--any-model", is_flag=True, help="With --from-log: also replies of other models than the first teacher.")
def command(
    context: Context,
    only: str | None,
    limit: int | None,
    dry_run: bool,
    rebuild: bool,
    logs: tuple[Path, ...],
    any_model: bool,
) -> None:
    """Ask the teacher(s) for what is not in the ledger yet. Resumes; never pays twice for the same answer."""
    from distil.collect import stage
    from distil.collect.importing import import_logs
    from distil.errors import UserError
    from distil.pipeline import ensure

    if any_model and not logs:
        raise UserError("--any-model goes with --from-log: distil collect --from-log requests.jsonl --any-model")
    if rebuild and (only or limit or dry_run):
        raise UserError("--rebuild makes answers.jsonl anew and asks nothing: leave out --only, --limit and --dry-run.")
    config = context.config()
    ensure(context.project, config, "prompts", before="collect")
    if logs:
        taken = import_logs(context.project, config.teachers[0], logs, any_model=any_model)
        for line in taken.lines():
            say(line)
    result = stage.run(
        context.project,
        config.collect,
        config.teachers,
        only="failed" if only else None,
        limit=limit,
        dry_run=dry_run,
        rebuild=rebuild,
    )
    context.emit(result, lambda: show_rows("Forecast" if dry_run else "Collected", result.rows()))
