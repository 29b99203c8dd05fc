"""`distil serve`: the gateway, or a single local model."""

from __future__ import annotations

import click

from distil.cli.options import Context, distil_command, say, show_rows


@distil_command("distil serve logits --set serve.port=8000 --set serve.fallback=calibrated")
@click.argument("name", required=False)
@click.option(
    "--model",
    "ref",
    metavar="REF",
    help="Serve a single local model (bundled/teacher, a folder or a hub id); needs no project.",
)
def command(context: Context, name: str | None, ref: str | None) -> None:
    """Serve an OpenAI-compatible gateway: student NAME first, the teacher when it is unsure; saves fallbacks as new prompts."""
    from distil.serve import stage

    def ready(url: str) -> None:
        say(f"Serving {url}  (Ctrl-C stops it after the requests in progress)")

    if ref:
        from distil.serve.config import ServeConfig

        section = context.config().serve if context.project.config.exists() else ServeConfig()
        stage.serve_model(ref, host=section.host, port=section.port, on_ready=ready)
        return
    from distil.cli.students import pick_student

    config = context.config()
    student = pick_student(context.project, name)
    result = stage.run(context.project, config.serve, name=student, teachers=config.teachers, on_ready=ready)
    context.emit(result, lambda: show_rows("Served", result.rows()))
