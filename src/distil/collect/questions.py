"""What to ask: every prompt x teacher x sample, with the answer's id known before it is paid for.

Pure planning over prompts.jsonl, read as a stream so that memory does not grow with the number of prompts.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from distil.calls.batch.apis import BATCH_APIS
from distil.calls.config import Price, TeacherConfig
from distil.calls.prices import price_of
from distil.calls.providers.catalog import parse_model
from distil.calls.request import Reply, Request, Tier, WhenFull
from distil.collect.config import Service
from distil.endings import ending
from distil.errors import UserError
from distil.ids import answer_id
from distil.records import Answer, Prompt
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_records
from distil.runs.schemas.failures import Failure

RETRY_STRIDE = 10_000
"""The retry of an empty answer is sent as sample + 10,000 (+ 20,000, ...): another ledger key, the same in every run."""
MAX_EMPTY_RETRIES = 20
BATCH_PREFIXES = tuple(BATCH_APIS)


class Question(NamedTuple):
    """One wanted answer: a prompt, a teacher and a sample index."""

    position: int
    """In the order of answers.jsonl."""
    prompt: Prompt
    teacher: TeacherConfig
    sample: int

    @property
    def answer_id(self) -> str:
        """The id that the answer will have."""
        sampling = self.teacher.sampling.model_dump(mode="json", exclude_none=True)
        return answer_id(self.prompt.id, self.teacher.model, sampling, self.sample)

    def request(
        self, tier: Tier = "standard", retry: int = 0, flex_full: WhenFull = "wait", hedge: float | None = None
    ) -> Request:
        """The request. retry: number of empty answers so far."""
        return Request(
            model=self.teacher.model,
            messages=self.prompt.messages,
            sampling=self.teacher.sampling,
            sample=self.sample + retry * RETRY_STRIDE,
            purpose="collect",
            tools=self.prompt.tools,
            tool_choice=self.prompt.tool_choice,
            response_format=self.prompt.response_format,
            tier=tier,
            flex_full=flex_full,
            hedge=hedge,
        )

    def answer(self, reply: Reply) -> Answer:
        """The record of a reply to this question."""
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
        """The record of this question without an answer. kind: "empty", "pruned", "batch" or the kind of a fault."""
        return Failure(
            answer_id=self.answer_id,
            prompt_id=self.prompt.id,
            teacher=self.teacher.model,
            sample=self.sample,
            kind=kind,
            why=why,
        )


def plan_questions(
    project: Project, teachers: Sequence[TeacherConfig], samples: int, limit: int | None = None
) -> Iterator[Question]:
    """Every question of the project in order, prompts outermost. limit: only the first so many prompts."""
    position = 0
    for index, prompt in enumerate(read_records(project.prompts, Prompt)):
        if limit is not None and index >= limit:
            return
        for teacher in teachers:
            for sample in range(samples):
                yield Question(position, prompt, teacher, sample)
                position += 1


def answers_wanted(
    project: Project, teachers: Sequence[TeacherConfig], samples: int, prompts: Collection[str]
) -> frozenset[str]:
    """Ids of all answers to the prompts with these ids, there already or not: what `collect.stage.run` takes as `only`."""
    return frozenset(
        question.answer_id for question in plan_questions(project, teachers, samples) if question.prompt.id in prompts
    )


def answers_there(project: Project) -> frozenset[str]:
    """Ids of the answers that are collected."""
    answers = read_records(project.answers, Answer) if project.answers.exists() else ()
    return frozenset(answer.id for answer in answers)


def check_teachers(teachers: Sequence[TeacherConfig]) -> None:
    """Raises UserError when there is no teacher, one is listed twice with the same sampling, or a name is unknown."""
    if not teachers:
        raise UserError("No teacher is configured. Add at least one under `teachers:` in distil.yaml.")
    seen = set()
    for teacher in teachers:
        parse_model(teacher.model)
        identity = (teacher.model, teacher.sampling)
        if identity in seen:
            raise UserError(
                f"The teacher {teacher.model} is listed twice in distil.yaml with the same sampling. Delete one of the two "
                "entries; for several answers from one teacher, set `collect.samples`."
            )
        seen.add(identity)


def tier_of(teacher: TeacherConfig, service: Service) -> Tier:
    """The tier for a teacher. Raises UserError when batches are configured for a teacher that has no batch API."""
    ref = parse_model(teacher.model)
    if ref.local or service == "standard":
        return "standard"
    if service == "flex":
        return "flex"
    if service == "batch":
        if ref.prefix not in BATCH_PREFIXES:
            raise UserError(
                f"Distil supports batches only for {', '.join(BATCH_PREFIXES)}, not for {teacher.model}. "
                "Set `collect.tier: cheapest` to use batches where they are supported, or `collect.batch: false`."
            )
        return "batch"
    return _cheapest(teacher.model, teacher.price, ref.prefix in BATCH_PREFIXES)


def _cheapest(model: str, price: Price | None, has_batch: bool) -> Tier:
    """Flex wins a tie with batch, because it answers at once."""
    best: Tier = "standard"
    lowest = price_of(model, price, "standard")
    offers: list[Tier] = ["flex", "batch"] if has_batch else ["flex"]
    for tier in offers:
        quote = price_of(model, price, tier)
        if quote.discounted and quote.input + quote.output < lowest.input + lowest.output:
            best, lowest = tier, quote
    return best


def is_empty(reply: Reply) -> bool:
    """No text and no tool call: nothing to learn from."""
    return not reply.text.strip() and not reply.tool_calls


def why_empty(reply: Reply) -> str:
    """The reason for failures.jsonl."""
    end = ending(reply.finish_reason)
    if end == "cut":
        tokens = reply.usage.reasoning_tokens
        thinking = f" after {tokens:,} tokens of reasoning" if tokens else ""
        return f"the answer is empty: it was cut off at max_tokens{thinking}; raise sampling.max_tokens"
    if end == "refused":
        return f"the answer is empty: the provider withheld it ({reply.finish_reason})"
    return f"the answer is empty, also when asked again (finish_reason {reply.finish_reason})"
