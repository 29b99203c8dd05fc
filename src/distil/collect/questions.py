"""What has to be asked: every prompt x teacher x sample, with the answer's id known before it is paid for.

Pure planning over prompts.jsonl, read as a stream so that memory does not grow with the number of prompts. Used by stage.py,
forecast.py, batches.py and importing.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from distil.calls.config import Price, TeacherConfig
from distil.calls.prices import price_of
from distil.calls.providers.catalog import parse_model
from distil.calls.request import Reply, Request, Tier, WhenFull
from distil.collect.config import Service
from distil.errors import UserError
from distil.ids import content_id
from distil.records import Answer, Prompt, Record, Sampling
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_records

RETRY_STRIDE = 10_000
"""An empty answer is asked for again as sample + 10,000 (+ 20,000, ...): another ledger key, the same each time."""
BATCH_PREFIXES = ("openai", "anthropic")


class Question(NamedTuple):
    """One answer that is wanted."""

    number: int
    """Place in the order of answers.jsonl."""
    prompt: Prompt
    teacher: TeacherConfig
    sample: int

    @property
    def answer_id(self) -> str:
        """Known before paying."""
        return answer_id(self.prompt.id, self.teacher.model, self.teacher.sampling, self.sample)

    def request(self, tier: Tier = "standard", again: int = 0, flex_full: WhenFull = "wait") -> Request:
        """The request; `again` counts the times that an empty answer came."""
        return Request(
            model=self.teacher.model,
            messages=self.prompt.messages,
            sampling=self.teacher.sampling,
            sample=self.sample + again * RETRY_STRIDE,
            purpose="collect",
            tools=self.prompt.tools,
            response_format=self.prompt.response_format,
            tier=tier,
            flex_full=flex_full,
        )

    def answer(self, reply: Reply) -> Answer:
        """The record of a reply."""
        return Answer(
            id=self.answer_id,
            prompt_id=self.prompt.id,
            teacher=self.teacher.model,
            sampling=self.teacher.sampling,
            sample=self.sample,
            text=reply.text,
            reasoning=reply.reasoning,
            tool_calls=reply.tool_calls,
            finish_reason=reply.finish_reason,
            call_id=reply.call_id,
        )

    def failure(self, kind: str, why: str) -> Failure:
        """The record of an answer that could not be had."""
        return Failure(
            answer_id=self.answer_id,
            prompt_id=self.prompt.id,
            teacher=self.teacher.model,
            sample=self.sample,
            kind=kind,
            why=why,
        )


class Failure(Record):
    """One line of failures.jsonl: an answer that could not be had."""

    answer_id: str
    """The answer that is missing."""
    prompt_id: str
    """Its prompt."""
    teacher: str
    """Who was asked."""
    sample: int
    """Which sample."""
    kind: str
    """empty, or what a fault is called (bad_request, server, timeout, ...)."""
    why: str
    """For a person."""


def answer_id(prompt_id: str, model: str, sampling: Sampling, sample: int) -> str:
    """Hash of prompt id, teacher, sampling and sample index."""
    asked = {
        "prompt": prompt_id,
        "teacher": model,
        "sampling": sampling.model_dump(mode="json", exclude_none=True),
        "sample": sample,
    }
    return content_id("answer", asked)


def plan_asks(
    project: Project, teachers: Sequence[TeacherConfig], samples: int, limit: int | None = None
) -> Iterator[Question]:
    """Every ask of the project in order, prompts outermost; `limit` = only the first so many prompts."""
    number = 0
    for index, prompt in enumerate(read_records(project.prompts, Prompt)):
        if limit is not None and index >= limit:
            return
        for teacher in teachers:
            for sample in range(samples):
                yield Question(number, prompt, teacher, sample)
                number += 1


def check_teachers(teachers: Sequence[TeacherConfig]) -> None:
    """Raises UserError when there is no teacher, one is named twice with the same sampling, or a name is unknown."""
    if not teachers:
        raise UserError("No teacher is configured. Write at least one under `teachers:` in distil.yaml.")
    seen = set()
    for teacher in teachers:
        parse_model(teacher.model)
        identity = (teacher.model, teacher.sampling)
        if identity in seen:
            raise UserError(
                f"The teacher {teacher.model} stands twice in distil.yaml with the same sampling. For several answers of one "
                "teacher set `collect.samples`, and delete one of the two entries."
            )
        seen.add(identity)


def tier_of(teacher: TeacherConfig, service: Service) -> Tier:
    """Which tier a teacher is asked at. Raises UserError when it was told to use a batch API that it does not have."""
    ref = parse_model(teacher.model)
    if ref.local or service == "standard":
        return "standard"
    if service == "flex":
        return "flex"
    if service == "batch":
        if ref.prefix not in BATCH_PREFIXES:
            raise UserError(
                f"{teacher.model} has no batch API that Distil speaks (only {', '.join(BATCH_PREFIXES)} have). "
                "Set `collect.tier: cheapest` to use batches where they exist, or `collect.batch: false`."
            )
        return "batch"
    return _cheapest(teacher.model, teacher.price, ref.prefix in BATCH_PREFIXES)


def _cheapest(model: str, price: Price | None, has_batch: bool) -> Tier:
    """Flex wins a draw against batch: it answers at once."""
    best: Tier = "standard"
    least = _rate(model, price, "standard")
    offers: list[Tier] = ["flex", "batch"] if has_batch else ["flex"]
    for tier in offers:
        quote = price_of(model, price, tier)
        if quote.discounted and quote.input + quote.output < least:
            best, least = tier, quote.input + quote.output
    return best


def _rate(model: str, price: Price | None, tier: Tier) -> float:
    quote = price_of(model, price, tier)
    return quote.input + quote.output
