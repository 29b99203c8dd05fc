"""What all commands share: --project, --set, --json, the loaded config, and printing a result as a table or JSON."""

from __future__ import annotations

import json
import math
import os
import shlex
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

import click

from distil.cli import completion
from distil.progress import dollars
from distil.text import UNSEEN, visible

if TYPE_CHECKING:
    from rich.table import Table

    from distil.config import Config
    from distil.runs.artifacts import Project


__all__ = [
    "CommandGroup",
    "Context",
    "Dollars",
    "agreed",
    "as_typed",
    "distil_command",
    "dollars",
    "echo",
    "here",
    "jsonable",
    "say",
    "show_rows",
    "table",
]
PLAIN_WIDTH = 120  # columns, when stdout is not a terminal
NO_WRAP = 18  # characters: a cell this short is never wrapped


class Context:
    """A command's first argument: the project, the config with its overrides, and how to print."""

    printed: ClassVar[bool] = False
    """Whether --json has its document on stdout already; else an error becomes it."""

    def __init__(self, projects: Sequence[Path], overrides: Sequence[str], as_json: bool) -> None:
        from distil.runs.artifacts import Project

        self.projects: list[Project] = [Project(project) for project in projects or [Path()]]
        """One, except for the commands that take several."""
        self.project: Project = self.projects[0]
        self.overrides = list(overrides)
        self.keepable: list[str] = []
        """Overrides that the config took, for which distil.yaml says something else."""
        self.as_json = as_json

    def config(self, *extra: str) -> Config:
        """distil.yaml with --set and `extra` overrides (from the command's options) applied. Raises UserError."""
        from distil.config import load_config

        config = load_config(self.project, [*self.overrides, *extra])
        self.keepable = self.overrides if self.overrides and load_config(self.project) != config else []
        return config

    def emit(self, value: object, show: Callable[[], None]) -> None:
        """--json: `value` as one JSON document on stdout. Otherwise call `show()`, which prints text."""
        if self.as_json:
            click.echo(json_text(jsonable(value)))
            Context.printed = True
        else:
            show()
        if self.keepable and self.project.config.exists():
            say(f"--set holds for this command only. To keep it: distil config set {shlex.join(self.keepable)}")


def emit_error(message: str, code: int) -> None:
    """With --json an error is the document on stdout, unless the command has printed its own. Without: nothing."""
    if "--json" in sys.argv and not Context.printed:
        click.echo(json_text({"error": {"message": message, "exit_code": code}}))


def json_text(value: object) -> str:
    """One JSON document for a terminal or a program: what `visible` would show as symbols is escaped, the rest stays readable."""
    text = json.dumps(value, ensure_ascii=False, indent=2)
    return UNSEEN.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def jsonable(value: object) -> object:
    """Records, named tuples, dataclasses and paths as plain JSON values."""
    if dump := getattr(value, "model_dump", None):
        return dump(mode="json")
    if as_dict := getattr(value, "_asdict", None):
        return jsonable(as_dict())
    if is_dataclass(value):
        return {field.name: jsonable(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, dict):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [jsonable(item) for item in value]
    return str(value) if isinstance(value, Path) else value


_JSON = click.option(
    "--json", "as_json", is_flag=True, help="Print the result as JSON on stdout; progress goes to stderr."
)
_SET_HELP = "Override a config value, such as --set train.epochs=2."
_SET = click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help=_SET_HELP, shell_complete=completion.settings
)
_FOLDER = click.Path(path_type=Path, file_okay=False)
_FOLDER_HELP = "Project folder (default: the current one)."
_PROJECT = click.option("--project", type=_FOLDER, default=".", metavar="DIR", help=_FOLDER_HELP)
_PROJECTS = click.option("--project", type=_FOLDER, multiple=True, metavar="DIR", help=f"{_FOLDER_HELP} Repeatable.")


class Dollars(click.ParamType[float]):
    """An amount of dollars: a number from 0 on. `nan` and `inf` would be a cap that nothing reaches."""

    name = "dollars"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Refuses all else."""
        try:
            amount = float(str(value))
        except ValueError:
            amount = math.nan
        if not (math.isfinite(amount) and amount >= 0):
            self.fail(f"found {visible(str(value))!r}, expected an amount of dollars, such as 40 or 0.5.", param, ctx)
        return amount


class CommandGroup(click.Group):
    """A group whose help says of each command all of its first paragraph, however long that is."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = [(name, command.get_short_help_str(limit=1000)) for name, command in sorted(self.commands.items())]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def distil_command(example: str, *, several_projects: bool = False) -> Callable[[Callable[..., None]], click.Command]:
    """Turns `f(context, **options)` into a command with the shared options and an example in its help."""

    def decorate(function: Callable[..., None]) -> click.Command:
        @wraps(function)
        def invoke(
            project: Path | tuple[Path, ...], overrides: tuple[str, ...], as_json: bool, **options: object
        ) -> None:
            projects = project if isinstance(project, tuple) else (project,)
            function(Context(projects, overrides, as_json), **options)

        for option in (_JSON, _SET, _PROJECTS if several_projects else _PROJECT):
            invoke = option(invoke)
        return click.command(epilog=f"\b\nExample:\n  {example}")(invoke)

    return decorate


def table(
    title: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    left: int = 1,
    styles: Mapping[str, str] | None = None,
) -> None:
    """Prints a table on stdout: the first `left` columns left-aligned, the others right-aligned; styles: cell -> rich style.

    In a terminal that is too narrow for its columns each cell gets a line of its own.
    """
    from rich.cells import cell_len
    from rich.console import Console
    from rich.text import Text

    lines = [[visible(cell if isinstance(cell, str) else str(cell)) for cell in row] for row in rows]
    columns, title = [visible(column) for column in columns], visible(title)
    longest = [max(cell_len(line[i]) for line in [columns, *lines]) for i in range(len(columns))]
    console = Console()
    console = console if console.is_terminal else Console(width=PLAIN_WIDTH)
    fits = sum(min(wide, NO_WRAP) for wide in longest) + 2 * (len(columns) - 1) <= console.width
    grid = _grid(header=any(columns) and fits)
    if title:
        console.print(Text(title, style="bold"))
    if fits:
        for index, column in enumerate(columns):
            whole = longest[index] if longest[index] <= NO_WRAP else min(NO_WRAP, cell_len(column))
            justify: Literal["left", "right"] = "left" if index < left else "right"
            grid.add_column(Text(column), justify=justify, overflow="fold", min_width=whole)
    else:  # one line for each cell: no column may fall off the edge
        lines = [list(pair) for line in lines for pair in [*zip(columns, line, strict=True), ("", "")]][:-1]
        grid.add_column(overflow="fold", min_width=min(NO_WRAP, max(map(cell_len, columns), default=0)))
        grid.add_column(overflow="fold")
    for line in lines:
        # As it is: no markup in what a user or a model wrote.
        grid.add_row(*(Text(cell, style=(styles or {}).get(cell, "")) for cell in line))
    console.print(grid, "", sep="\n")


def _grid(*, header: bool) -> Table:
    from rich import box
    from rich.table import Table

    return Table(
        box=box.SIMPLE_HEAD,
        show_header=header,
        show_edge=False,
        padding=(0, 1),
        collapse_padding=True,
        pad_edge=False,
    )


def show_rows(title: str, rows: Iterable[Sequence[object]]) -> None:
    """A two-column table of a stage's (name, value) rows."""
    table(title, ("", ""), rows, left=2)


def as_typed() -> str:
    """How `distil` is typed where the user stands: by its name where the shell finds this very program, else by its path."""
    program = Path(sys.argv[0])
    if program.name != "distil":
        return "distil"  # python -m distil, or a test
    found = shutil.which("distil")
    if found is not None and Path(found).resolve() == program.resolve():
        return "distil"
    path = os.path.relpath(program.absolute())
    return shlex.quote(path if not path.startswith("..") else str(program.absolute()))


def here(command: str, project: Project) -> str:
    """A command of this program as it is typed where the user stands: with --project where that is elsewhere."""
    elsewhere = "" if project.root == Path.cwd() else f" --project {shlex.quote(os.path.relpath(project.root))}"
    return f"{as_typed()}{command.removeprefix('distil')}{elsewhere}"


def agreed(path: Path, *, yes: bool) -> bool:
    """Asks whether to write what was shown into a file, unless --yes has answered. Raises UserError where nobody can answer."""
    from distil.errors import UserError

    if yes:
        return True
    if not sys.stdin.isatty():
        say("")
        raise UserError(
            "Nobody can be asked, because this is not a terminal. Nothing was written. Add --yes to write it."
        )
    return click.confirm(f"Write this into {path}?", err=True)


def width() -> int:
    """Columns of the terminal; of plain text where stdout is none."""
    from rich.console import Console

    console = Console()
    return console.width if console.is_terminal else PLAIN_WIDTH


def echo(
    text: str, *, fg: str | None = None, bold: bool = False, dim: bool = False, nl: bool = True, err: bool = False
) -> None:
    """Prints a text with a style of ours. Nothing that a model, a server or a file says moves the cursor: see `visible`."""
    click.secho(visible(text), fg=fg, bold=bold or None, dim=dim or None, nl=nl, err=err, color=color_allowed())


def color_allowed() -> Literal[False] | None:
    """False: no styles, as NO_COLOR (https://no-color.org) and TERM=dumb ask for; None: where the output is a terminal."""
    return False if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" else None


def say(text: str) -> None:
    """One line on stderr (stdout is for results)."""
    echo(text, err=True)
