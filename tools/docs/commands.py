"""The command line as a page: each command with its arguments, options, defaults and example, read from click."""

from __future__ import annotations

from collections.abc import Iterator

import click

from distil.cli.main import COMMANDS, cli
from tools.docs.markdown import block, code, paragraphs, text

SHARED = ("project", "overrides", "as_json", "help")
EXIT_CODES = (
    (0, "done"),
    (1, "the work failed"),
    (2, "the input is wrong: an option, a setting, a file"),
    (3, "the budget is reached; what was paid for is kept"),
    (4, "a gate was not reached"),
    (130, "interrupted; the same command goes on"),
)


def page() -> str:
    """The whole page."""
    parts = [
        "# Command line",
        "Every command with its options, written from the code; `distil COMMAND --help` says the same in a terminal.",
        "## For every command",
        "- `--project DIR`: the project's folder (default: the current one)\n"
        "- `--set KEY=VALUE`: another value of [a setting](config.md), for this command only; repeatable. "
        "`distil config set` keeps it\n"
        "- `--json`: the result as one JSON document on stdout (errors, too: `error.message`, `error.exit_code`); "
        "progress goes to stderr\n"
        "- `-h`, `--help`: the options, with an example",
        "`distil init` makes the folder and takes no `--project`; `distil compare` takes several.",
        "| exit code | |\n|---|---|\n" + "\n".join(f"| {number} | {meaning} |" for number, meaning in EXIT_CODES),
    ]
    for words, command in commands():
        parts += _command(words, command)
    return "\n\n".join(parts) + "\n"


def commands() -> Iterator[tuple[str, click.Command]]:
    """Every command that does something, by its words: `collect`, `signals build`."""
    context = click.Context(cli)
    for name in COMMANDS:
        found = cli.get_command(context, name)
        assert found is not None
        if isinstance(found, click.Group):
            yield name, found
            for below, command in found.commands.items():
                yield f"{name} {below}", command
        else:
            yield name, found


def _command(words: str, command: click.Command) -> Iterator[str]:
    context = click.Context(command, info_name=f"distil {words}")
    deep = "###" if " " in words else "##"
    yield f"{deep} distil {words} {{ #distil-{words.replace(' ', '-')} }}"
    # click marks with \b paragraphs that keep their line breaks
    yield paragraphs((command.help or "").replace("\b\n", ""))
    if isinstance(command, click.Group) and not command.invoke_without_command:
        return
    usage = " ".join(piece for piece in command.collect_usage_pieces(context))
    yield block(f"distil {words} {usage}", "text")
    options = [p for p in command.params if isinstance(p, click.Option) and p.name not in SHARED and not p.hidden]
    if options:
        yield "\n".join(_option(option, context) for option in options)
    if command.epilog:
        yield block(command.epilog.replace("\b\n", "").removeprefix("Example:\n").strip(), "text")


def _option(option: click.Option, context: click.Context) -> str:
    """One line: `--limit N`: what it does. (default, range, whether it repeats)"""
    names = ", ".join([*option.opts, *option.secondary_opts])
    value = "" if option.is_flag or option.count else f" {option.make_metavar(context)}"
    said = option.help or ""
    notes = [*_range(option.type)]
    if option.show_default and isinstance(option.default, (str, int, float)) and not option.is_flag:
        notes.append(f"default: {option.default}")
    if option.required:
        notes.append("required")
    if option.multiple and "epeatable" not in said:
        notes.append("repeatable")
    return f"- {code(names + value)}: {text(said)}" + (f" ({text('; '.join(notes))})" if notes else "")


def _range(kind: click.ParamType[object]) -> Iterator[str]:
    """The bounds of a number."""
    if isinstance(kind, (click.IntRange, click.FloatRange)):
        if kind.min is not None:
            yield f"{'above' if kind.min_open else 'at least'} {kind.min}"
        if kind.max is not None:
            yield f"{'below' if kind.max_open else 'at most'} {kind.max}"
