"""`distil curate`: from answers to a data set."""

from __future__ import annotations

from distil.cli.options import Context, distil_command, show_rows


@distil_command("distil curate --set curate.near_duplicates=0.8")
def command(context: Context) -> None:
    """Filter the answers, remove duplicates, split without leakage; each dropped answer is listed with the reason."""
    from distil.curate import stage
    from distil.pipeline import curation_judge, ensure

    config = context.config()
    ensure(context.project, config, "collect", before="curate")
    result = stage.run(
        context.project,
        config.curate,
        judge=curation_judge(context.project, config),
        teachers=[t.model for t in config.teachers],
        student=config.student,
        max_length=config.train.max_length,
    )
    context.emit(result, lambda: show_rows("Curated", result.rows()))
