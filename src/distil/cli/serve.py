"""`distil serve`: the gateway, or a single local model."""

from __future__ import annotations

from typing import TypedDict, Unpack

import click

from distil.cli import completion
from distil.cli.options import Context, Dollars, distil_command, dollars, echo, say, show_rows, table

NO_KEYS = "There are no keys: the gateway asks for none, and listens on this machine only. Make one: distil serve --new-key NAME"


class AboutKeys(TypedDict):
    """The options that make, list and revoke keys."""

    new_key: str | None
    requests_per_minute: int | None
    page: bool
    usd_per_day: float | None
    list_keys: bool
    revoke_key: str | None
    revoke_older: str | None


@distil_command("distil serve logits --set serve.port=8000 --set serve.fallback=calibrated")
@click.argument("name", required=False, shell_complete=completion.students)
@click.option(
    "--model",
    "ref",
    metavar="REF",
    help="Serve a single local model (bundled/teacher, a folder or a hub id); needs no project.",
)
@click.option("--new-key", metavar="NAME", help="Make an API key; from the first one on, each request needs one.")
@click.option("--requests-per-minute", type=click.IntRange(1), metavar="N", help="Limit of the new key.")
@click.option("--page", is_flag=True, help="The new key may also see the gateway's page, with what all keys ask.")
@click.option("--usd-per-day", type=Dollars(), metavar="USD", help="What the teacher may cost the new key in a day.")
@click.option("--keys", "list_keys", is_flag=True, help="List the keys, with what each has spent.")
@click.option("--revoke-key", metavar="NAME", help="Take the keys of this name away, also from a running gateway.")
@click.option("--revoke-older", metavar="NAME", help="Take all keys of this name away but the newest.")
def command(context: Context, name: str | None, ref: str | None, **about_keys: Unpack[AboutKeys]) -> None:
    """Serve an OpenAI-compatible gateway: student NAME first, the teacher when it is unsure; saves fallbacks as new prompts."""
    from distil.serve import stage

    if about_keys["list_keys"]:
        _list(context)
        return
    if any(about_keys[key] is not None for key in ("new_key", "revoke_key", "revoke_older")):
        _change_keys(context, about_keys)
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
    from distil.pipeline import serve_student

    result = serve_student(context.project, context.config(), pick_student(context, name), ready)
    context.emit(result, lambda: show_rows("Served", result.rows()))


def _change_keys(context: Context, asked: AboutKeys) -> None:
    from distil.serve import keys

    path, new = context.project.gateway_keys, asked["new_key"]
    if new is not None:
        context.config()
        limit = asked["requests_per_minute"]
        key = keys.new_key(path, new, limit, page=asked["page"], usd_per_day=asked["usd_per_day"])
        shown = f"{key}\nThis is the only time that it is shown. A running gateway takes it at once."
        context.emit({"name": new, "key": key}, lambda: echo(shown))
        return
    gone = asked["revoke_key"] or asked["revoke_older"] or ""
    count = keys.revoke(path, gone, keep_newest=asked["revoke_key"] is None)
    context.emit({"revoked": count}, lambda: echo(f"Revoked {count} key(s) of {gone}."))


def _list(context: Context) -> None:
    """The keys, each with its limits and what it has spent; what revoked ones spent, too."""
    from distil.serve.keys import read_keys
    from distil.serve.spending import read_spending, spent_by_key

    kept = read_keys(context.project.gateway_keys)
    spent = spent_by_key(read_spending(context.project.key_spending))
    rows = [
        {
            "name": key.name,
            "created": key.created[:10],
            "requests_per_minute": key.requests_per_minute,
            "usd_per_day": key.usd_per_day,
        }
        for key in kept
    ]
    rows += [{"name": name, "created": "revoked"} for name in sorted(spent.keys() - {key.name for key in kept})]
    for row in rows:
        today, ever = spent.get(str(row["name"]), (0.0, 0.0))
        row |= {"usd_today": round(today, 6), "usd": round(ever, 6)}
    columns = ("name", "created", "requests_per_minute", "usd_per_day", "usd_today", "usd")
    shown = [[_cell(name, row.get(name)) for name in columns] for row in rows]
    heads = ("key", "made", "a minute", "$ a day", "today", "in all")
    context.emit({"keys": rows}, lambda: table("API keys", heads, shown, left=2) if shown else echo(NO_KEYS))


def _cell(name: str, value: object) -> str:
    if value is None:
        return "-"
    return dollars(value) if name.startswith("usd") and isinstance(value, float) else str(value)
