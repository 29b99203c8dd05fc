"""The three questions of `distil init`: what do you have, which teacher, which student. Each answer is checked at once."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeVar

import click

from distil.cli.options import echo, width
from distil.errors import UserError, did_you_mean
from distil.runs.artifacts import Project

T = TypeVar("T")


class Wanted(NamedTuple):
    """What a project is made from; None = not said."""

    teacher: str | None
    student: str | None
    prompts: Path | None
    template: str | None


def ask(project: Project, wanted: Wanted) -> Wanted:
    """Fills what no option said. Raises click.Abort on Ctrl-C or at the end of the input."""
    from distil.new_project import DEFAULT_STUDENT, DEFAULT_TEACHER, check_student, check_teacher
    from distil.templates import TEMPLATES, template_named

    answered = None
    if wanted.prompts is None and wanted.template is None:
        _say("1. What do you have? A file with prompts, with answers too, or logs (its path); or nothing yet: a task.")
        for name, template in TEMPLATES.items():
            _say(f"{name}: {template.what}", "   ", "     ")
        wanted, answered = _asked("File or task", "triage", lambda text: _what(wanted, text))
    task = template_named(wanted.template) if wanted.template else None
    if wanted.teacher is None and not (task and task.teacher):
        _say("2. Which teacher answers? PROVIDER/NAME, http://HOST:PORT/v1#NAME, local/PATH, or recorded/FILE.")
        if answered is not None:
            _say(f"{answered.name} has answers already; recorded/ takes them as they are.", "   ", "   ")
        first = f"recorded/{answered}" if answered is not None else DEFAULT_TEACHER
        wanted = wanted._replace(teacher=_asked("Teacher", first, lambda text: _teacher(project, text, check_teacher)))
    if wanted.student is None and not (task and task.student):
        _say(
            "3. Which student is trained? A name of the Hugging Face hub, a folder, or bundled/student (1M, for a try)."
        )

        def student(text: str) -> str:
            check_student(text, project)
            return text

        wanted = wanted._replace(student=_asked("Student", DEFAULT_STUDENT, student))
    return wanted


def _what(wanted: Wanted, text: str) -> tuple[Wanted, Path | None]:
    """(with the file or the task, the file if it has answers)."""
    from distil.new_project import check_prompts
    from distil.templates import TEMPLATES, template_named

    path = Path(text).expanduser()
    if not path.exists():
        try:
            template_named(text)
        except UserError as error:
            if path.suffix or "/" in text:
                close = did_you_mean(path.name, _beside(path))
                raise UserError(f"There is no file {text}, seen from {Path.cwd()}.{close}") from None
            raise UserError(f"{error} Or the path of a file, seen from {Path.cwd()}.") from None
        return wanted._replace(template=text), None
    if text in TEMPLATES:
        _say(f"(the file {text} of this folder, not the task)", "   ", "   ")
    found = check_prompts(path)
    _say(f"{found.prompts:,} prompts, {found.answered:,} of them with an answer.", "   ", "   ")
    return wanted._replace(prompts=path), path if found.answered == found.prompts else None


def _beside(path: Path) -> list[str]:
    """Names of the files where it was looked for."""
    folder = path.parent
    return [other.name for other in folder.iterdir() if other.is_file()] if folder.is_dir() else []


def _teacher(project: Project, text: str, check: Callable[[str, Path], None]) -> str:
    if text.startswith("recorded/"):
        path = Path(text.removeprefix("recorded/"))
        if not path.is_file() and not (project.root / path).is_file():
            raise UserError(f"There is no file {path}, seen from {Path.cwd()}.")
        check(f"recorded/{path.resolve()}" if path.is_file() else text, project.root)
        return text
    check(text, project.root)
    return text


def _asked(label: str, default: str, read: Callable[[str], T]) -> T:
    """Asks until `read` takes the answer; what it objects to is said, and what was probably meant becomes the default."""
    from distil.calls.providers.catalog import PROVIDERS
    from distil.calls.providers.names import likely

    while True:
        text = click.prompt(f"   {label}", default=default, err=True).strip()
        try:
            found = read(text)
        except UserError as error:
            _say(str(error), "   ", "   ", fg="red")
            if label == "Teacher":
                default = likely(text, list(PROVIDERS)) or default
            continue
        echo("", err=True)
        return found


def _say(text: str, first: str = "", rest: str = "   ", fg: str | None = None) -> None:
    """A paragraph on stderr, as wide as the terminal."""
    for line in textwrap.wrap(
        text,
        min(width(), 100) - 1,
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    ):
        echo(line, fg=fg, err=True)
