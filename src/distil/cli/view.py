"""`distil view`: browse the project's texts side by side, and mark answers to drop or keep."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypedDict, Unpack, cast

import click

from distil.cli.marks import CHOICES, PREFERENCES, edited_text, mark_answer, mark_better
from distil.cli.options import Context, distil_command, echo
from distil.cli.students import pick_evaluable

if TYPE_CHECKING:
    from distil.cli.marks import Word
    from distil.records import Message
    from distil.runs.artifacts import Project
    from distil.runs.schemas.marks import Mark
    from distil.view.catalog import AnswerRow


class Item(NamedTuple):
    """One item: an id, labeled texts, and those of them that belong side by side."""

    id: str
    parts: list[tuple[str, str]]
    beside: Sequence[tuple[str, str]] = ()


class Options(TypedDict):
    """The command's options."""

    page: bool
    port: int
    student: str | None
    grep: str | None
    where: tuple[str, ...]
    sort: str
    limit: int
    mark: str | None
    edit: str | None
    undo: bool
    answer_id: str | None
    reason: str


class Query(NamedTuple):
    """What to show."""

    student: str | None
    where: dict[str, str]
    sort: str


WIDE = 100
"""Columns of a terminal from which texts are shown side by side."""


@distil_command("distil view answers --where dropped=refusal --limit 5")
@click.argument(
    "what", type=click.Choice(["prompts", "answers", "train", "test", "dropped", "predictions"]), default="answers"
)
@click.option("--page", is_flag=True, help="Open a local page to search, compare, mark and edit all answers.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port of the page (default: a free one).")
@click.option("--student", metavar="NAME", help="Whose predictions (default: as in `distil status`).")
@click.option("--grep", metavar="TEXT", help="Show only items that contain TEXT.")
@click.option(
    "--where",
    multiple=True,
    metavar="FACET=VALUE",
    help="Of answers: dropped, suspicious, edited, split, teacher or mark, such as --where dropped=refusal. Repeatable.",
)
@click.option("--sort", default="", metavar="SIGNAL", help="Answers with the highest value of a signal first.")
@click.option("--limit", type=int, default=10, show_default=True, help="Maximum number of items to show.")
@click.option(
    "--mark",
    type=click.Choice(CHOICES),
    help="good or bad for the answer given by --id (`distil curate` follows it over its filters; none takes it back), or the "
    "better answer to the test prompt given by --id: student, teacher or tie (`distil evaluate` compares its judge with it).",
)
@click.option(
    "--edit", metavar="FILE", help="Train on this text instead of the answer given by --id; - reads it from stdin."
)
@click.option("--undo", is_flag=True, help="Take the last mark back.")
@click.option("--id", "answer_id", metavar="ID", help="The item to mark or show.")
@click.option("--reason", default="", metavar="TEXT", help="Stored with the mark.")
def command(context: Context, what: str, **options: Unpack[Options]) -> None:
    """Browse prompts, answers and predictions side by side; mark answers as good or bad, or edit them."""
    project, answer_id = context.project, options["answer_id"]
    if options["page"]:
        _serve(context, options["student"], options["port"])
    elif options["undo"]:
        _undo(context)
    elif options["mark"] is not None and options["mark"] in PREFERENCES:
        name, better = pick_evaluable(context, options["student"]), options["mark"]
        preference = mark_better(project, name, answer_id, better, options["reason"] or "marked by a person")
        context.emit(preference, lambda: echo(f"Marked {answer_id}: {better}. The next `distil evaluate` counts it."))
    elif options["mark"] or options["edit"]:
        text = edited_text(options["edit"]) if options["edit"] else None
        word = cast("Word", "edited" if text is not None else options["mark"])
        marked = mark_answer(project, answer_id, word, options["reason"], text)
        context.emit(marked, lambda: echo(f"Marked {answer_id}: {word}. The next `distil curate` applies it."))
    else:
        student = pick_evaluable(context, options["student"]) if what == "predictions" else None
        query = Query(student, _facets(options["where"]), options["sort"])
        if what != "answers" and (query.where or query.sort):
            raise click.UsageError(f"--where and --sort are for answers: distil view answers, not {what}.")
        items = _items(context, what, query, grep=options["grep"], wanted=answer_id, limit=options["limit"])
        context.emit([{"id": i.id, **dict(i.parts), **dict(i.beside)} for i in items], lambda: _show(items, what))


def _facets(given: Sequence[str]) -> dict[str, str]:
    pairs = [entry.partition("=") for entry in given]
    for entry, (name, sign, value) in zip(given, pairs, strict=True):
        if not (name and sign and value):
            raise click.UsageError(f"--where {entry}: expected FACET=VALUE, such as dropped=refusal.")
    return {name: value for name, _, value in pairs}


def _items(
    context: Context, what: str, query: Query, *, grep: str | None, wanted: str | None, limit: int
) -> list[Item]:
    items: list[Item] = []
    for item in SOURCES[what](context.project, query):
        texts = [text for _, text in (*item.parts, *item.beside)]
        hit = grep is None or any(grep.lower() in text.lower() for text in texts)
        if hit and (wanted is None or item.id == wanted):
            items.append(item)
        if len(items) >= limit:
            break
    return items


def _undo(context: Context) -> None:
    from distil.runs.marks import undo

    taken = undo(context.project.marks)
    said = "There is no mark to take back." if taken is None else f"Taken back: {taken.mark} of {taken.answer_id}."
    context.emit({"undone": taken and taken.model_dump(mode="json")}, lambda: echo(said))


def _serve(context: Context, student: str | None, port: int) -> None:
    import asyncio
    import contextlib
    import webbrowser

    from distil.view.server import serve

    def opened(address: str) -> None:
        context.emit({"address": address}, lambda: echo(f"The page is at {address}\nCtrl-C ends it; marks are kept."))
        if sys.stdout.isatty():
            with contextlib.suppress(webbrowser.Error):
                webbrowser.open(address)

    project = context.project
    known = pick_evaluable(context, student) if student or project.evaluated() else None
    asyncio.run(serve(project, known, port, opened))


def _show(items: list[Item], what: str) -> None:
    from rich.console import Console, Group
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text

    from distil.text import visible

    def block(parts: Sequence[tuple[str, str]]) -> Text:
        body = Text()
        for label, text in parts:
            body.append(f"{visible(label)}\n", style="bold")
            body.append(visible(text).strip() + "\n")
        body.rstrip()
        return body

    console = Console()
    for item in items:
        body: Group | Text = block([*item.parts, *item.beside])
        if len(item.beside) > 1 and console.width >= WIDE:
            columns = Table.grid(padding=(0, 3), expand=True)
            for _ in item.beside:
                columns.add_column(ratio=1, overflow="fold")
            columns.add_row(*(block([part]) for part in item.beside))
            body = Group(block(item.parts), Text(""), columns)
        console.print(Panel(body, title=Text(visible(item.id)), title_align="left", border_style="dim"))
    console.print(f"[dim]Showing {len(items)} {what}.[/]" if items else f"Nothing in {what} matches.")


def _conversation(messages: Sequence[Message]) -> str:
    return "\n".join(f"{m.role}: {m.text}" if len(messages) > 1 else m.text for m in messages)


def _prompts(project: Project, query: Query) -> Iterator[Item]:
    from distil.records import Prompt
    from distil.runs.jsonl import read_records

    for prompt in read_records(project.prompts, Prompt):
        reference = [("reference", prompt.reference)] if prompt.reference else []
        yield Item(prompt.id, [("prompt", _conversation(prompt.messages)), *reference])


def _answers(project: Project, query: Query) -> Iterator[Item]:
    from distil.view.catalog import Catalog, check_query, values_of

    check_query(query.where, query.sort)
    catalog = Catalog(project)
    found = catalog.find("", query.where, sort=query.sort, limit=len(catalog.rows))
    for row in found.rows:
        asked = [("prompt", _conversation(row.prompt.messages))]
        asked += [("reference", row.prompt.reference)] if row.prompt.reference else []
        for each in row.answers:
            mark = catalog.marks.get(each.answer.id)
            values: dict[str, set[str]] = {**values_of([each]), "mark": {mark.mark} if mark else set()}
            if all(value in values[name] for name, value in query.where.items()):
                yield Item(each.answer.id, [*asked, *_about(each, mark)])


def _about(row: AnswerRow, mark: Mark | None) -> list[tuple[str, str]]:
    """The answer, and what is known of it."""
    from distil.view.rows import signals

    answer, known = row
    parts = [(f"{answer.teacher} ({answer.finish_reason})", answer.text)]
    if known.verdict is not None:
        parts.append((f"dropped by {known.verdict.filter}", known.verdict.reason))
    if known.evidence is not None and (found := signals(known.evidence)):
        lines = (f"{name} {value:.3g}" + (f": {detail}" if detail else "") for name, value, detail in found)
        parts.append(("evidence", "\n".join(lines)))
    if mark is not None:
        said = " ".join(text for text in (mark.text, mark.reason and f"({mark.reason})") if text)
        parts.append((f"marked {mark.mark}", said))
    return parts


def _examples(split: str) -> Callable[[Project, Query], Iterator[Item]]:
    def read(project: Project, query: Query) -> Iterator[Item]:
        from distil.runs.jsonl import read_examples

        for example in read_examples(project.split(split)):
            yield Item(
                example.answer_id or example.id,
                [("prompt", _conversation(example.prompt_messages)), ("answer", example.answer)],
            )

    return read


def _dropped(project: Project, query: Query) -> Iterator[Item]:
    from distil.records import Verdict
    from distil.runs.jsonl import read_records

    answers = {item.id: item.parts for item in _answers(project, query)}
    for verdict in read_records(project.dropped, Verdict):
        dropped = (f"dropped by {verdict.filter}", verdict.reason)
        known = answers.get(verdict.answer_id, [])
        yield Item(verdict.answer_id, known if dropped in known else [*known, dropped])


def _predictions(project: Project, query: Query) -> Iterator[Item]:
    from distil.records import Prediction
    from distil.runs.jsonl import read_records

    prompts = {item.id: item.parts for item in _prompts(project, query)}
    by_prompt: dict[str, list[tuple[str, str]]] = {}
    for prediction in read_records(project.predictions(query.student or ""), Prediction):
        if prediction.sample == 0:
            by_prompt.setdefault(prediction.prompt_id, []).append((prediction.model, prediction.text))
    for prompt_id, parts in by_prompt.items():
        yield Item(prompt_id, prompts.get(prompt_id, []), parts)


SOURCES = {
    "prompts": _prompts,
    "answers": _answers,
    "train": _examples("train"),
    "test": _examples("test"),
    "dropped": _dropped,
    "predictions": _predictions,
}
