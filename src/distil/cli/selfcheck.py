"""`distil selfcheck`: checks of the losses and masks, in seconds."""

from __future__ import annotations

from distil.cli.options import Context, distil_command, table


@distil_command("distil selfcheck --project mytask")
def command(context: Context) -> None:
    """Check in seconds that losses, gradients and masks are correct, on your model and data if the project has them."""
    from distil.errors import WorkFailed
    from distil.train.selfcheck import check_objectives

    checks, project = check_objectives(), context.project
    if project.config.exists() and project.split("train").exists():
        from distil.train.check_project import check_project
        from distil.train.job import TrainJob

        config = context.config()
        job = TrainJob(project.root, "selfcheck", config.train, config.student, config.teachers[0])
        checks += check_project(job)
    rows = [(c.name, "ok" if c.ok else "FAILED", c.detail) for c in checks]
    context.emit(checks, lambda: table("", ("check", "", "measured"), rows, left=3))
    failed = [c.name for c in checks if not c.ok]
    if failed:
        raise WorkFailed(
            f"{len(failed)} of {len(checks)} checks failed: {', '.join(failed)}. Do not train with this setup."
        )
