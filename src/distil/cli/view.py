"""`distil view`: browse the project's texts side by side, and mark answers to drop or keep."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import click

from distil.cli.marks import CHOICES, PREFERENCES, mark_answer, mark_better
from distil.cli.options import Context, distil_command, echo
from distil.cli.students import pick_evaluable

if TYPE_CHECKING:
    from distil.records import Message
    from distil.runs.artifacts import Project


class Item(NamedTuple):
    """One item: an id and labeled texts."""

    id: str
    parts: list[tuple[str, str]]


@distil_command("distil view answers --grep refund --limit 5")
@click.argument(
    "what", type=click.Choice(["prompts", "answers", "train", "test", "dropped", "predictions"]), default="answers"
)
@click.option("--student", metavar="NAME", help="Whose predictions (default: the last one trained).")
@click.option("--grep", metavar="TEXT", help="Show only items that contain TEXT.")
@click.option("--limit", type=int, default=10, show_default=True, help="Maximum number of items to show.")
@click.option(
    "--mark",
    type=click.Choice(CHOICES),
    help="drop or keep the answer given by --id (`distil curate` follows it over its filters), or name the better answer to the "
    "test prompt given by --id: student, teacher or tie (`distil evaluate` compares its judge with it).",
)
@click.option("--id", "answer_id", metavar="ID", help="The item to mark or show.")
@click.option("--reason", default="marked by a person", metavar="TEXT", help="Stored with the mark.")
def command(
    context: Context,
    what: str,
    student: str | None,
    grep: str | None,
    limit: int,
    mark: str | None,
    answer_id: str | None,
    reason: str,
) -> None:
    """Browse prompts, answers and predictions side by side; mark answers to drop or keep."""
    if mark in PREFERENCES:
        better = mark_better(context.project, pick_evaluable(context.project, student), answer_id, mark, reason)
        context.emit(better, lambda: echo(f"Marked {answer_id}: {mark}. The next `distil evaluate` counts it."))
        return
    if mark:
        marked = mark_answer(context.project, answer_id, mark == "keep", reason)
        context.emit(marked, lambda: echo(f"Marked {answer_id}: {mark}. The next `distil curate` applies it."))
        return
    items = []
    for item in SOURCES[what](context.project, student):
        hit = grep is None or any(grep.lower() in text.lower() for _, text in item.parts)
        if hit and (answer_id is None or item.id == answer_id):
            items.append(item)
        if len(items) == limit:
            break
    context.emit([{"id": i.id, **dict(i.parts)} for i in items], lambda: _show(items, what))


def _show(items: list[Item], what: str) -> None:
    from rich.console import Console
    from rich.panel import Panel
    from rich.text import Text

    from distil.text import visible

    console = Console()
    for item in items:
        body = Text()
        for label, text in item.parts:
            body.append(f"{visible(label)}\n", style="bold")
            body.append(visible(text).strip() + "\n")
        body.rstrip()
        console.print(Panel(body, title=Text(visible(item.id)), title_align="left", border_style="dim"))
    console.print(f"[dim]Showing {len(items)} {what}.[/]" if items else f"Nothing in {what} matches.")


def _conversation(messages: Sequence[Message]) -> str:
    return "\n".join(f"{m.role}: {m.text}" if len(messages) > 1 else m.text for m in messages)


def _prompts(project: Project, student: str | None) -> Iterator[Item]:
    from distil.records import Prompt
    from distil.runs.jsonl import read_records

    for prompt in read_records(project.prompts, Prompt):
        reference = [("reference", prompt.reference)] if prompt.reference else []
        yield Item(prompt.id, [("prompt", _conversation(prompt.messages)), *reference])


def _answers(project: Project, student: str | None) -> Iterator[Item]:
    from distil.records import Answer
    from distil.runs.jsonl import read_records

    prompts = {item.id: item.parts for item in _prompts(project, student)}
    for answer in read_records(project.answers, Answer):
        yield Item(
            answer.id, [*prompts.get(answer.prompt_id, []), (f"{answer.teacher} ({answer.finish_reason})", answer.text)]
        )


def _examples(split: str) -> Callable[[Project, str | None], Iterator[Item]]:
    def read(project: Project, student: str | None) -> Iterator[Item]:
        from distil.runs.jsonl import read_examples

        for example in read_examples(project.split(split)):
            yield Item(
                example.answer_id or example.id,
                [("prompt", _conversation(example.prompt_messages)), ("answer", example.answer)],
            )

    return read


def _dropped(project: Project, student: str | None) -> Iterator[Item]:
    from distil.records import Verdict
    from distil.runs.jsonl import read_records

    answers = {item.id: item.parts for item in _answers(project, student)}
    for verdict in read_records(project.dropped, Verdict):
        yield Item(
            verdict.answer_id, [*answers.get(verdict.answer_id, []), (f"dropped by {verdict.filter}", verdict.reason)]
        )


def _predictions(project: Project, student: str | None) -> Iterator[Item]:
    from distil.records import Prediction
    from distil.runs.jsonl import read_records

    prompts = {item.id: item.parts for item in _prompts(project, student)}
    by_prompt: dict[str, list[tuple[str, str]]] = {}
    for prediction in read_records(project.predictions(pick_evaluable(project, student)), Prediction):
        if prediction.sample == 0:
            by_prompt.setdefault(prediction.prompt_id, []).append((prediction.model, prediction.text))
    for prompt_id, parts in by_prompt.items():
        yield Item(prompt_id, [*prompts.get(prompt_id, []), *parts])


SOURCES = {
    "prompts": _prompts,
    "answers": _answers,
    "train": _examples("train"),
    "test": _examples("test"),
    "dropped": _dropped,
    "predictions": _predictions,
}
