"""`distil serve`: the gateway, or a single local model."""

from __future__ import annotations

import click

from distil.cli.options import Context, distil_command, echo, say, show_rows


@distil_command("distil serve logits --set serve.port=8000 --set serve.fallback=calibrated")
@click.argument("name", required=False)
@click.option(
    "--model",
    "ref",
    metavar="REF",
    help="Serve a single local model (bundled/teacher, a folder or a hub id); needs no project.",
)
@click.option("--new-key", metavar="NAME", help="Make an API key; from the first one on, each request needs one.")
@click.option("--requests-per-minute", type=click.IntRange(1), metavar="N", help="Limit of the new key.")
@click.option("--page", is_flag=True, help="The new key may also see the gateway's page, with what all keys ask.")
@click.option("--revoke-key", metavar="NAME", help="Take the keys of this name away, also from a running gateway.")
def command(
    context: Context,
    name: str | None,
    ref: str | None,
    new_key: str | None,
    requests_per_minute: int | None,
    page: bool,
    revoke_key: str | None,
) -> None:
    """Serve an OpenAI-compatible gateway: student NAME first, the teacher when it is unsure; saves fallbacks as new prompts."""
    from distil.serve import keys, stage

    path = context.project.gateway_keys
    if new_key is not None:
        context.config()
        key = keys.new_key(path, new_key, requests_per_minute, page=page)
        shown = f"{key}\nThis is the only time that it is shown. A running gateway takes it at once."
        context.emit({"name": new_key, "key": key}, lambda: echo(shown))
        return
    if revoke_key is not None:
        count = keys.revoke(path, revoke_key)
        context.emit({"revoked": count}, lambda: echo(f"Revoked {count} key(s) of {revoke_key}."))
        return

    def ready(url: str) -> None:
        page = url.partition("/v1#")[0].replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")
        say(f"Serving {url}  (Ctrl-C stops it after the requests in progress)\nWhat it does: {page}/")

    if ref:
        from distil.serve.config import ServeConfig

        section = context.config().serve if context.project.config.exists() else ServeConfig()
        stage.serve_model(ref, host=section.host, port=section.port, on_ready=ready)
        return
    from distil.cli.students import pick_student

    config = context.config()
    student = pick_student(context, name)
    result = stage.run(context.project, config.serve, name=student, teachers=config.teachers, on_ready=ready)
    context.emit(result, lambda: show_rows("Served", result.rows()))
