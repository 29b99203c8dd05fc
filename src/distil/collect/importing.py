"""Distilling from logs: requests and replies that were paid for elsewhere go into the ledger, at no cost.

`distil collect` then finds them as if it had asked. Load the same log as prompts, so that the questions are the same. logs.py
reads the lines.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import ValidationError

from distil.calls.config import TeacherConfig
from distil.calls.faults import GarbledReply
from distil.calls.identity import wire_bytes
from distil.calls.ledger.store import Ledger, Recorded
from distil.calls.providers.base import HttpProvider
from distil.calls.providers.catalog import open_keyless
from distil.calls.request import JsonObject, Request
from distil.collect.ledger_view import LedgerView
from distil.collect.logs import Logged, Unusable, read_logs
from distil.collect.questions import Question, plan_questions
from distil.collect.reply_bodies import reply_body, wire_of_provider
from distil.errors import UserError
from distil.progress import track
from distil.records import Record
from distil.runs.artifacts import Project
from distil.runs.jsonl import describe

RECORD_TOGETHER = 500
MAX_EXAMPLES = 3


class ImportResult(Record):
    """What was imported from logs."""

    imported: int
    """Replies that are new to the ledger."""
    known: int
    """Replies that the ledger had already: importing twice changes nothing."""
    other_models: int
    """Replies of models other than the teacher, left out."""
    unusable: int
    """Lines without an answer: errors, halves of pairs."""
    examples: tuple[str, ...]
    """The first few unusable lines, with file, line and reason."""
    input_tokens: int
    """Of the imported replies, where the log has it."""
    output_tokens: int
    prompts: int
    """Prompts of the project."""
    answered: int
    """Prompts of the project that the log answers."""

    def lines(self) -> list[str]:
        """Summary for a person."""
        lines = [
            f"Replies from logs: {self.imported:,} imported at no cost, {self.known:,} already in the ledger; "
            f"they answer {self.answered:,} of {self.prompts:,} prompts."
        ]
        if self.other_models:
            lines.append(f"Left out because of their model: {self.other_models:,} (import them with --any-model).")
        if self.unusable:
            lines.append(f"Left out because they hold no answer: {self.unusable:,} ({'; '.join(self.examples)}).")
        return lines


def import_logs(
    project: Project, teacher: TeacherConfig, paths: Sequence[Path], *, any_model: bool = False
) -> ImportResult:
    """Imports logs as answers of `teacher`. Several answers to one question become its samples 0, 1, 2, ...

    any_model: also import replies of models with another name. Raises UserError on a broken line, a log without any usable reply
    or none to a prompt of the project, or a teacher whose replies have another wire format.
    """
    opened = open_keyless(teacher, project.root)
    if not opened.replicas or wire_of_provider(opened.replicas[0]) is None:
        raise UserError(
            f"The teacher {teacher.model} answers in this process, and logs hold answers of an API. Configure the teacher that "
            "gave them (openai/NAME, anthropic/NAME, http://HOST/v1#NAME, ...), or use the log itself as the teacher: "
            "recorded/FILE.jsonl."
        )
    with Ledger(project.ledger) as ledger:
        view = LedgerView(ledger, [teacher], project.root)
        importer = _Importer(view, teacher, opened.replicas[0], opened.ref.name, any_model)
        for line in track(read_logs(paths), "Importing", None, "lines"):
            importer.add(line)
        importer.flush()
        result = importer.result(plan_questions(project, [teacher], samples=1))
    if result.imported + result.known == 0:
        raise UserError(_nothing_usable(teacher, paths, importer, result))
    if result.answered == 0:
        names = ", ".join(str(path) for path in paths)
        raise UserError(
            f"None of the {result.imported + result.known:,} replies in {names} answers one of this project's "
            f"{result.prompts:,} prompts, so every prompt would be asked and paid for. Load the same log as prompts (--set "
            f"prompts.path={paths[0]}) with its system prompt, or run without --from-log."
        )
    return result


class _Importer:
    """Writes lines to the ledger in groups, and counts."""

    def __init__(
        self, view: LedgerView, teacher: TeacherConfig, provider: HttpProvider, name: str, any_model: bool
    ) -> None:
        self._view = view
        self._teacher = teacher
        self._provider = provider
        self._name = name
        self._any_model = any_model
        self._samples: Counter[str] = Counter()
        self._waiting: list[Recorded] = []
        self._counts: Counter[str] = Counter()
        self.models: Counter[str] = Counter()
        self.examples: list[str] = []

    def add(self, line: Logged | Unusable) -> None:
        """Takes one line. Raises UserError when its messages are not valid."""
        if isinstance(line, Unusable):
            self._skip(line.where, line.why)
            return
        self.models[line.model or "(no name)"] += 1
        if not (self._any_model or self._is_teacher(line.model)):
            self._counts["other"] += 1
            return
        request = self._request(line)
        wire = wire_of_provider(self._provider)
        assert wire is not None
        reply = wire_bytes(reply_body(line.answer, wire))
        try:
            parsed = self._provider.parse(200, {}, reply)
        except GarbledReply as error:
            self._skip(line.where, str(error))
            return
        first = self._view.identify(request).key
        request = request.model_copy(update={"sample": self._samples[first]})
        self._samples[first] += 1
        key = self._view.identify(request).key
        entry = self._view.find(request, key)
        if entry is not None and entry.call.status == "answered":
            self._counts["known"] += 1
            return
        self._counts["imported"] += 1
        self._counts["in"] += parsed.usage.input_tokens
        self._counts["out"] += parsed.usage.output_tokens
        self._waiting.append(
            Recorded(
                key=key,
                purpose="import",
                model=self._teacher.model,
                request=wire_bytes(_body(line, request)),
                reply=reply,
                usage=parsed.usage,
                endpoint=self._view.endpoint(self._teacher.model),
                sample=request.sample,
                request_id=line.answer.request_id or None,
            )
        )
        if len(self._waiting) >= RECORD_TOGETHER:
            self.flush()

    def flush(self) -> None:
        """Makes the lines so far durable."""
        if self._waiting:
            self._view.ledger.record(self._waiting)
            self._waiting = []

    def result(self, questions: Iterator[Question]) -> ImportResult:
        """The counts, with the number of questions that the logs answer."""
        prompts = answered = 0
        for question in questions:
            prompts += 1
            answered += self._view.identify(question.request()).key in self._samples
        return ImportResult(
            prompts=prompts,
            answered=answered,
            imported=self._counts["imported"],
            known=self._counts["known"],
            other_models=self._counts["other"],
            unusable=self._counts["unusable"],
            examples=tuple(self.examples),
            input_tokens=self._counts["in"],
            output_tokens=self._counts["out"],
        )

    def _request(self, line: Logged) -> Request:
        try:
            return Request(
                model=self._teacher.model,
                messages=line.exchange.messages(),
                sampling=self._teacher.sampling,
                tools=line.asked.tools or None,
                tool_choice=line.asked.tool_choice if line.asked.tools else None,
                response_format=line.asked.response_format or None,
            )
        except ValidationError as error:
            raise UserError(f"{line.where}: {describe(error)}.") from None

    def _is_teacher(self, model: str) -> bool:
        """gpt-4o-mini-2024-07-18 is gpt-4o-mini; a log without a model name is trusted."""
        name = self._name
        return not model or model == name or model.startswith(f"{name}-") or name.startswith(f"{model}-")

    def _skip(self, where: str, why: str) -> None:
        self._counts["unusable"] += 1
        if len(self.examples) < MAX_EXAMPLES:
            self.examples.append(f"{where}: {why}")


def _body(line: Logged, request: Request) -> JsonObject:
    """What was asked, without what logs add to a request: headers may hold an API key, and the ledger never does."""
    body = request.neutral_body()
    del body["sampling"]
    return {"model": line.model} | body if line.model else body


def _nothing_usable(teacher: TeacherConfig, paths: Sequence[Path], importer: _Importer, result: ImportResult) -> str:
    names = ", ".join(str(path) for path in paths)
    if result.other_models:
        models = ", ".join(name for name, _ in importer.models.most_common(3))
        return (
            f"{names}: none of the replies is from {teacher.model}; found {models}. Put that model under `teachers:`, or import "
            "them anyway with --any-model."
        )
    reason = f" ({importer.examples[0]})" if importer.examples else ""
    return (
        f"{names}: no line holds a request with its reply{reason}. docs/data_formats.md lists the logs that are read."
    )
