"""`distil config`: show what distil.yaml comes to, and write settings into it."""

from __future__ import annotations

import click

from distil.cli import completion
from distil.cli.options import CommandGroup, Context, distil_command, echo, show_rows


@click.group(cls=CommandGroup)
def command() -> None:
    """Show the settings, or write some into distil.yaml (show | set)."""


@distil_command("distil config set cost.student_host.usd_per_hour=0.6 train.epochs=4")
@click.argument("settings", nargs=-1, required=True, metavar="KEY=VALUE...", shell_complete=completion.settings)
def set_(context: Context, settings: tuple[str, ...]) -> None:
    """Write settings into distil.yaml; its comments and all other lines stay. A bad key or value changes nothing."""
    from distil.config import load_config
    from distil.config_file import edit_config, write_edit

    path = context.project.config
    load_config(context.project)
    edit = edit_config(path.read_text(encoding="utf-8"), [*context.overrides, *settings], str(path))
    if edit.lines:
        write_edit(path, edit)

    def show() -> None:
        for line in edit.lines:
            echo(line, fg="red" if line.startswith("-") else "green")
        echo(f"Written to {path}." if edit.lines else f"{path} says so already.")

    context.emit({"config": path, "changed": edit.lines}, show)


@distil_command("distil config show train")
@click.argument("key", required=False, shell_complete=completion.keys)
@click.option("--changed", is_flag=True, help="Only what differs from the defaults.")
def show(context: Context, key: str | None, changed: bool) -> None:
    """Show each setting with its value, also those that distil.yaml leaves at their defaults. KEY: a section or a key."""
    from distil.config_file import flat_settings, scalar
    from distil.errors import UserError, did_you_mean

    found = flat_settings(context.config(), changed=changed)
    rows = {k: v for k, v in found.items() if key is None or k == key or k.startswith(f"{key}.")}
    if key is not None and not rows and not changed:
        sections = dict.fromkeys(k.rpartition(".")[0] for k in found if "." in k)
        raise UserError(f"There is no setting {key!r}.{did_you_mean(key, [*found, *sections])}")
    context.emit(rows, lambda: show_rows("", [(k, scalar(v)) for k, v in rows.items()]))


command.add_command(set_, "set")
command.add_command(show, "show")
