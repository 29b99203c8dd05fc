"""Asks models behind an API while evaluating: the teacher a second time (the ceiling), a student that is served elsewhere, and
the judge in both orders.

Not the statistics of what comes back (scoring.py, judge.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from distil.calls.config import TeacherConfig
from distil.calls.prices import price_of
from distil.calls.providers.catalog import parse_model
from distil.calls.request import Reply, Request
from distil.errors import UserError, WorkFailed
from distil.evaluate.given import Given
from distil.evaluate.local import speed_of
from distil.ids import content_id
from distil.judging.asking import ask_all, check
from distil.records import Example, Prediction, Sampling

CAP_OPTION = "--set evaluate.budget_usd="
"""What raises the cap, for the message when it is reached."""


def again(examples: Sequence[Example], teachers: Sequence[TeacherConfig]) -> list[Request]:
    """The test prompts as requests for a second sample, each to the teacher that gave the first."""
    by_model = {teacher.model: teacher for teacher in teachers}
    asked = [(example, by_model.get(example.teacher or "", teachers[0])) for example in examples]
    return [_request(example, teacher.model, teacher.sampling, sample=1) for example, teacher in asked]


def _request(example: Example, model: str, sampling: Sampling, *, sample: int) -> Request:
    """A test prompt, with the tools and the schema that the teacher had."""
    return Request(
        model=model,
        messages=example.prompt_messages,
        sampling=sampling,
        sample=sample,
        purpose="evaluate",
        tools=example.tools,
        tool_choice=example.tool_choice,
        response_format=example.response_format,
    )


def as_predictions(
    examples: Sequence[Example], replies: Sequence[Reply | None], *, model: str = "ceiling", sample: int = 1
) -> list[Prediction]:
    """Replies as predictions of a model (by default the teacher's second answers); failed ones are left out."""
    return [
        Prediction(
            id=content_id("prediction", [example.prompt_id, model, sample]),
            prompt_id=example.prompt_id,
            model=model,
            sample=sample,
            text=reply.text,
            tool_calls=reply.tool_calls,
            finish_reason=reply.finish_reason,
            output_tokens=reply.usage.output_tokens,
            latency_s=reply.latency_s,
        )
        for example, reply in zip(examples, replies, strict=True)
        if reply is not None
    ]


def settings_of(model: str, known: Sequence[TeacherConfig]) -> TeacherConfig:
    """The settings of a model that --answers names: those of evaluate.candidates or teachers, else the defaults.

    Raises UserError when its price is unknown.
    """
    config = next((config for config in known if config.model == model), TeacherConfig(model=model))
    try:
        price_of(model, config.price)
    except UserError:
        parse_model(model)
        raise UserError(
            f"The price of {model} is unknown. Give it in dollars per million tokens (0 where it is your own machine): "
            f"--set 'evaluate.candidates=[{{model: \"{model}\", price: {{input: 0, output: 0}}}}]', or write the same under "
            "`evaluate:` in distil.yaml."
        ) from None
    return config


def student_answers(
    ledger: Path,
    model: TeacherConfig,
    examples: Sequence[Example],
    sampling: Sampling,
    *,
    name: str,
    budget_usd: float | None,
) -> Given:
    """A served model's answers to the test prompts, through the ledger. Raises UserError (no key) or WorkFailed (no answer)."""
    check(ledger, model)
    requests = [_request(example, model.model, sampling, sample=0) for example in examples]
    asked = ask_all(ledger, [model], requests, budget_usd=budget_usd, label=name, cap_option=CAP_OPTION)
    predictions = as_predictions(examples, asked.replies, model=name, sample=0)
    if not predictions:
        raise WorkFailed(f"{model.model} gave no answer to any test prompt. {asked.why_incomplete}")
    replies = [reply for reply in asked.replies if reply is not None]
    latencies = [reply.latency_s for reply in replies if reply.latency_s]
    return Given(
        predictions,
        content_id("answers", [model.model, sampling.model_dump(mode="json")]),
        [],
        usd=asked.usd,
        usd_per_1000=usd_per_1000(reply.usd for reply in replies),
        speed=speed_of(latencies, None, "remote") if latencies else None,
        complete=asked.ends_here([model]),
        missing=(f"Answers of {model.model}: {asked.why_incomplete}",) if asked.why_incomplete else (),
    )


def usd_per_1000(paid: Iterable[float]) -> float | None:
    """Dollars for 1,000 requests at the mean of those paid; None where nothing was billed."""
    dollars = list(paid)
    return 1000 * sum(dollars) / len(dollars) if any(dollars) else None


def teacher_of(teachers: Sequence[TeacherConfig]) -> TeacherConfig:
    """The teacher whose sampling production uses: the first of the config. Raises UserError when there is none."""
    if not teachers:
        raise UserError("distil.yaml names no teacher to compare the student with. Add one under `teachers:`.")
    return teachers[0]
