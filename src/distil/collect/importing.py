"""Distilling from logs: OpenAI-format requests and replies that were paid for elsewhere go into the ledger, at no cost.

`distil collect` then finds them as if it had asked. Load the same log as prompts, so that the questions are the same. The
shapes of lines are read by logs.py. Called by `distil collect --from-log`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from distil.calls.config import TeacherConfig
from distil.calls.faults import GarbledReply
from distil.calls.identity import wire_bytes
from distil.calls.ledger.store import Ledger, Recorded
from distil.calls.providers.catalog import open_keyless
from distil.calls.providers.chat import ChatProvider
from distil.calls.request import Request
from distil.collect.ledger_view import LedgerView
from distil.collect.logs import Logged, Unusable, read_logs
from distil.collect.questions import Question, plan_asks
from distil.errors import UserError
from distil.progress import track
from distil.records import Message, Record
from distil.runs.artifacts import Project
from distil.runs.jsonl import describe

TOGETHER = 500
REQUEST_KEPT = frozenset(
    {
        "model",
        "messages",
        "tools",
        "tool_choice",
        "response_format",
        "temperature",
        "top_p",
        "max_tokens",
        "stop",
        "seed",
    }
    | {"max_completion_tokens", "n", "logprobs", "top_logprobs", "reasoning_effort", "service_tier"}
)
SHOWN = 3
REPLY_KEPT = frozenset({"id", "object", "created", "model", "choices", "usage", "service_tier", "system_fingerprint"})


class ImportResult(Record):
    """What a log brought."""

    imported: int
    """Replies that the ledger did not have."""
    known: int
    """Replies that it had already: importing twice changes nothing."""
    other_models: int
    """Replies of other models than the teacher, left out."""
    unusable: int
    """Lines without an answer: errors, halves of pairs."""
    examples: tuple[str, ...]
    """The first few of those, with file, line and reason."""
    input_tokens: int
    """Of the imported ones, where the log says."""
    output_tokens: int
    prompts: int
    """Prompts of the project."""
    answered: int
    """Prompts of the project that the log has an answer to."""

    def lines(self) -> list[str]:
        """What a person should know of it."""
        found = [
            f"Replies from logs: {self.imported:,} taken in at no cost, {self.known:,} there already; "
            f"they answer {self.answered:,} of {self.prompts:,} prompts."
        ]
        if self.other_models:
            found.append(f"Left out, of other models: {self.other_models:,} (take them with --any-model).")
        if self.unusable:
            found.append(f"Left out, without an answer: {self.unusable:,} ({'; '.join(self.examples)}).")
        return found


def import_logs(
    project: Project, teacher: TeacherConfig, paths: Sequence[Path], *, any_model: bool = False
) -> ImportResult:
    """Takes logs in as answers of `teacher`. Several answers to one question become its samples 0, 1, 2, ...

    any_model: also take replies whose model has another name than the teacher. Raises UserError on a broken line, a log without
    any usable reply or none to a prompt of the project, or a teacher whose replies have another wire format.
    """
    opened = open_keyless(teacher, project.root)
    if not opened.replicas or not isinstance(opened.replicas[0], ChatProvider):
        raise UserError(
            f"Logs are in OpenAI's format and {teacher.model} answers in another one. Name the teacher that answered them "
            "(openai/NAME, or http://HOST/v1#NAME); or use the log itself as teacher: recorded/FILE.jsonl."
        )
    with Ledger(project.ledger) as ledger:
        intake = _Intake(
            LedgerView(ledger, [teacher], project.root), teacher, opened.replicas[0], opened.ref.name, any_model
        )
        for line in track(read_logs(paths), "Importing", None, "lines"):
            intake.take(line)
        intake.flush()
        result = intake.result(plan_asks(project, [teacher], samples=1))
    if result.imported + result.known == 0:
        raise UserError(_nothing(teacher, paths, intake, result))
    if result.answered == 0:
        names = ", ".join(str(path) for path in paths)
        raise UserError(
            f"None of the {result.imported + result.known:,} replies in {names} is to one of the {result.prompts:,} prompts of "
            "this project, so all prompts would be asked and paid for. Load the same log as prompts (--set "
            f"prompts.path={paths[0]}), system prompt included; or run without --from-log."
        )
    return result


class _Intake:
    """Collects lines into groups for the ledger, and counts."""

    def __init__(
        self, book: LedgerView, teacher: TeacherConfig, provider: ChatProvider, name: str, any_model: bool
    ) -> None:
        self._book = book
        self._teacher = teacher
        self._provider = provider
        self._name = name
        self._any_model = any_model
        self._samples: Counter[str] = Counter()
        self._waiting: list[Recorded] = []
        self._counts: Counter[str] = Counter()
        self.models: Counter[str] = Counter()
        self.examples: list[str] = []

    def take(self, line: Logged | Unusable) -> None:
        """Raises UserError when the messages of a line are none."""
        if isinstance(line, Unusable):
            self._leave_out(line.where, line.why)
            return
        self.models[line.model or "(no name)"] += 1
        if not (self._any_model or self._same(line.model)):
            self._counts["other"] += 1
            return
        request = self._request(line)
        reply = wire_bytes(_only(line.reply, REPLY_KEPT))
        try:
            parsed = self._provider.parse(200, {}, reply)
        except GarbledReply as error:
            self._leave_out(line.where, str(error))
            return
        first = self._book.identify(request).key
        request = request.model_copy(update={"sample": self._samples[first]})
        self._samples[first] += 1
        key = self._book.identify(request).key
        entry = self._book.find(request, key)
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
                request=wire_bytes(_only(line.request, REQUEST_KEPT)),
                reply=reply,
                usage=parsed.usage,
                endpoint=self._book.endpoint(self._teacher.model),
                sample=request.sample,
                request_id=str(line.reply.get("id") or "") or None,
            )
        )
        if len(self._waiting) >= TOGETHER:
            self.flush()

    def flush(self) -> None:
        """Makes what was taken durable."""
        if self._waiting:
            self._book.ledger.record(self._waiting)
            self._waiting = []

    def result(self, asks: Iterator[Question]) -> ImportResult:
        """The counts, and how many of the asks the logs have answered."""
        prompts = answered = 0
        for ask in asks:
            prompts += 1
            answered += self._book.identify(ask.request()).key in self._samples
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
            messages = [Message.model_validate(_known_fields(turn)) for turn in line.request["messages"]]
        except ValidationError as error:
            raise UserError(f"{line.where}: {describe(error)}.") from None
        return Request(
            model=self._teacher.model,
            messages=messages,
            sampling=self._teacher.sampling,
            tools=line.request.get("tools") or None,
            response_format=line.request.get("response_format") or None,
        )

    def _same(self, model: str) -> bool:
        """gpt-4o-mini-2024-07-18 is gpt-4o-mini; a log that names no model is taken as it is."""
        return (
            not model or model == self._name or model.startswith(f"{self._name}-") or self._name.startswith(f"{model}-")
        )

    def _leave_out(self, where: str, why: str) -> None:
        self._counts["unusable"] += 1
        if len(self.examples) < SHOWN:
            self.examples.append(f"{where}: {why}")


def _only(body: dict[str, Any], kept: frozenset[str]) -> dict[str, Any]:
    """Without what logs add around a body: headers may hold a key, and the ledger never does."""
    return {name: value for name, value in body.items() if name in kept}


def _known_fields(turn: object) -> object:
    """Logs carry fields such as `refusal` or `annotations` that are not part of a turn."""
    if not isinstance(turn, dict):
        return turn
    return {name: value for name, value in turn.items() if name in Message.model_fields and value is not None}


def _nothing(teacher: TeacherConfig, paths: Sequence[Path], intake: _Intake, result: ImportResult) -> str:
    names = ", ".join(str(path) for path in paths)
    if result.other_models:
        models = ", ".join(name for name, _ in intake.models.most_common(3))
        return (
            f"{names}: no reply is by {teacher.model}; found {models}. Name that model under `teachers`, or take them anyway "
            "with --any-model."
        )
    why = f" ({intake.examples[0]})" if intake.examples else ""
    return f"{names}: no line holds a request with its reply{why}. Expected an OpenAI-format log in JSON Lines."
