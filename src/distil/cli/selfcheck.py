"""`distil selfcheck`: the losses and the masks prove themselves in seconds."""

from __future__ import annotations

from distil.cli.options import Context, distil_command, table


@distil_command("distil selfcheck --project mytask")
def command(context: Context) -> None:
    """Prove in seconds that losses, gradients and masks are right, on your model and your data where there are any."""
    from distil.errors import WorkFailed
    from distil.train import selfcheck

    checks = selfcheck.run(context.project, context.config() if context.project.config.exists() else None)
    context.emit(
        checks,
        lambda: table(
            "", ("check", "", "measured"), [(c.name, "ok" if c.ok else "FAILED", c.detail) for c in checks], left=3
        ),
    )
    failed = [c.name for c in checks if not c.ok]
    if failed:
        raise WorkFailed(
            f"{len(failed)} of {len(checks)} checks failed: {', '.join(failed)}. Do not train with this set-up."
        )
