"""`distil collect`: ask the teacher(s)."""

from __future__ import annotations

import click

from distil.cli.options import Context, distil_command, show_rows


@distil_command("distil collect --set collect.budget_usd=20 --limit 100")
@click.option("--only", type=click.Choice(["failed"]), help="Ask only what failed the last time.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Only the first N prompts.")
@click.option("--dry-run", is_flag=True, help="Ask nothing; say what it would cost.")
@click.option("--rebuild", is_flag=True, help="Make answers.jsonl anew from the ledger; ask nothing.")
def command(context: Context, only: str | None, limit: int | None, dry_run: bool, rebuild: bool) -> None:
    """Ask the teacher(s) for what is not in the ledger yet. Resumes; never pays twice for the same answer."""
    from distil.collect import stage
    from distil.pipeline import ensure

    config = context.config()
    ensure(context.project, config, "prompts", before="collect")
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
