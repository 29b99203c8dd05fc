"""`distil calibrate`: the student answers the validation prompts, and a fallback threshold with its guarantee comes out.

Split discipline: the grid of thresholds comes from scores on the test prompts (without their labels), the labels from the
validation prompts, and the test prompts' labels are only reported on at the end. Nothing is paid for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from distil.endings import ending
from distil.errors import UserError
from distil.ids import content_id, now
from distil.progress import bar
from distil.records import Example, Prediction, Sampling
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_examples, write_json, write_records
from distil.runs.manifest import StageRun, stage_run
from distil.runs.schemas.calibration import Calibration, HeldOutCheck
from distil.serve.calibration.acceptance import Given, Rule, Similarity, bad_answers, choose_rule
from distil.serve.calibration.confidence import confidence
from distil.serve.calibration.guarantee import word_guarantee, word_refutation
from distil.serve.calibration.learn_then_test import (
    Certified,
    certify,
    refuting_p_value,
    usual_group,
)
from distil.serve.certificate.shape import shape_of
from distil.serve.config import ServeConfig
from distil.serve.engines.base import Engine, behind_provider, make_engine, require_answers
from distil.serve.wire import ChatReply, ChatRequest

TEMPERATURE = 0.0  # the gateway's default: what is calibrated is what is served
CONCURRENCY = 256
MIN_GRID_PROMPTS = 20


class Scored(NamedTuple):
    """Prompts with their reference answers, the student's answers and its confidence in each."""

    examples: list[Example]
    answers: list[ChatReply]
    scores: list[float]

    def judged(self, rule: Rule, similarity: Similarity | None) -> tuple[Scored, list[bool]]:
        """(the answers that can be judged, whether each is bad). Raises UserError."""
        given = [
            Given(example, answer.text, answer.tool_calls or (), ending(answer.finish_reason) not in ("cut", "fault"))
            for example, answer in zip(self.examples, self.answers, strict=True)
        ]
        bad = bad_answers(rule, given, similarity)
        rows = [row for row, value in enumerate(bad) if value is not None]
        kept = Scored(*([column[row] for row in rows] for column in (self.examples, self.answers, self.scores)))  # type: ignore[arg-type]
        return kept, [bool(bad[row]) for row in rows]


def run(project: Project, section: ServeConfig, *, name: str, similarity: Similarity | None = None) -> Calibration:
    """Calibrates the student `name` and writes work/serve/NAME/calibration.json.

    `similarity` compares prose answers (distil.evaluate.similarity.cosines); JSON and labels need none. Raises UserError when
    the student or the validation prompts are missing, or when the engine gives no log-probabilities.
    """
    model, section = project.model(name), behind_provider(project, name, section)
    if section.engine is None and not model.is_dir():
        raise UserError(f"There is no trained student {name!r}. Run `distil train --as {name}` first.")
    require_answers(section.engine, section.engine_key_env)
    with stage_run(project, "serve", section.model_dump(mode="json"), name=name) as stage:
        labeled = _examples(project, stage, "validation")
        unlabeled = _examples(project, stage, "test")
        if section.engine is None:
            stage.reads(model)
        if not labeled:
            raise UserError("work/curate/validation.jsonl holds no examples to calibrate on. Raise curate.validation.")
        engine = make_engine(
            str(model),
            batch_size=section.batch_size,
            queue=max(section.queue, CONCURRENCY),
            engine=section.engine,
            key_env=section.engine_key_env,
        )
        answers = asyncio.run(answer_all(engine, [*labeled, *unlabeled], section.default_max_tokens))
        scores = _scores(answers, section.score)
        split = len(labeled)
        calibration = _calibrate(
            Scored(labeled, answers[:split], scores[:split]),
            Scored(unlabeled, answers[split:], scores[split:]),
            section,
            name=name,
            identity=engine.identity,
            similarity=similarity,
        )
        write_json(project.calibration(name), calibration.model_dump(mode="json"))
        stage.wrote(project.calibration(name))
        predictions = project.calibration_predictions(name)
        stage.wrote(predictions, write_records(predictions, _predictions([*labeled, *unlabeled], answers, name)))
        notes = {"promise": calibration.promise, "coverage": calibration.coverage, "threshold": calibration.threshold}
        stage.notes.update(notes)
    return calibration


def _calibrate(
    labeled: Scored, held_out: Scored, section: ServeConfig, *, name: str, identity: str, similarity: Similarity | None
) -> Calibration:
    """The record of a calibration, from answers and scores."""
    risk, level = section.risk, section.confidence
    rule = choose_rule(labeled.examples, section.bad, section.goal)
    labeled, bad = labeled.judged(rule, similarity)
    outcome, labels, start = walk_thresholds(labeled, bad, held_out.scores, risk=risk, delta=1 - level)
    groups = [example.group for example in labeled.examples]
    promise, missing = word_guarantee(
        outcome,
        labels=labels,
        start=start,
        risk=risk,
        confidence=level,
        bad_means=rule.sentence(),
        group_size=usual_group(groups),
    )
    test = _check_held_out(held_out, outcome.threshold, rule, risk, similarity)
    if test is not None and test.p_value <= 1 - level:
        outcome, promise = outcome._replace(threshold=None), word_refutation(test, risk=risk, bad_means=rule.sentence())
    return Calibration(
        student=name,
        model=identity,
        engine=section.engine,
        score=section.score,
        temperature=TEMPERATURE,
        risk=risk,
        confidence=level,
        goal=rule.goal,
        bad_by=rule.by,
        compared=rule.sentence(),
        threshold=outcome.threshold,
        labels=labels,
        served=outcome.served,
        bad=outcome.bad,
        p_value=outcome.p_value,
        coverage=outcome.served / labels if outcome.threshold is not None and labels else 0.0,
        labels_missing=missing,
        test=test,
        promise=promise,
        created=now("seconds"),
        shape=shape_of([as_request(e, section.default_max_tokens) for e in labeled.examples], labeled.answers),
    )


def walk_thresholds(
    labeled: Scored, bad: Sequence[bool], grid_scores: Sequence[float], *, risk: float, delta: float
) -> tuple[Certified, int, float]:
    """(the outcome, the number of labels tested on, the coverage of the strictest threshold).

    With too few scores for a grid a quarter of the labeled prompts is added to the grid instead of being tested on.
    """
    scores, groups = labeled.scores, [example.group for example in labeled.examples]
    if len(grid_scores) < MIN_GRID_PROMPTS:
        # every fourth labeled prompt, by its id, contributes its score and not its label
        for_grid = [int(content_id("grid", e.prompt_id)[-2:], 16) % 4 == 0 for e in labeled.examples]
        grid_scores = [*grid_scores, *(score for score, aside in zip(scores, for_grid, strict=True) if aside)]
        scores = [score for score, aside in zip(scores, for_grid, strict=True) if not aside]
        bad = [is_bad for is_bad, aside in zip(bad, for_grid, strict=True) if not aside]
        groups = [group for group, aside in zip(groups, for_grid, strict=True) if not aside]
    outcome, start = certify(scores, bad, grid_scores, risk=risk, delta=delta, groups=groups)
    return outcome, len(scores), start


async def answer_all(engine: Engine, examples: Sequence[Example], max_tokens: int) -> list[ChatReply]:
    """The engine's greedy answers to requests such as the gateway sends. Raises BadRequest when one can't be answered."""
    slots = asyncio.Semaphore(CONCURRENCY)
    await engine.start()
    try:
        with bar("calibrate", total=len(examples), unit="prompts") as progress:

            async def answer(request: ChatRequest) -> ChatReply:
                async with slots:
                    reply = await engine.answer(request)
                progress.advance()
                return reply

            return list(await asyncio.gather(*(answer(as_request(e, max_tokens)) for e in examples)))
    finally:
        await engine.stop()


def as_request(example: Example, max_tokens: int) -> ChatRequest:
    """The request of a client that sends a labeled prompt and names no sampling."""
    return ChatRequest(
        "student",
        example.prompt_messages,
        Sampling(temperature=TEMPERATURE, max_tokens=max_tokens),
        tools=example.tools,
        tool_choice=example.tool_choice,
        response_format=example.response_format,
    )


def _scores(answers: Sequence[ChatReply], score: str) -> list[float]:
    scores = [value for value in (confidence(a, score) for a in answers) if value is not None]
    if len(scores) < len(answers):
        raise UserError(
            f"The engine gives no {'entropies' if score == 'entropy' else 'log-probabilities'}, so there is no confidence to "
            "calibrate. Use a server that supports `logprobs` (vLLM, SGLang, llama.cpp), another serve.score, or set "
            "serve.engine to null."
        )
    return scores


def _check_held_out(
    held_out: Scored, threshold: float | None, rule: Rule, risk: float, similarity: Similarity | None
) -> HeldOutCheck | None:
    if threshold is None or not held_out.examples:
        return None
    held_out, bad = held_out.judged(rule, similarity)
    rows = [row for row, score in enumerate(held_out.scores) if score >= threshold]
    served = [bad[row] for row in rows]
    p_value = refuting_p_value(served, [held_out.examples[row].group for row in rows], risk)
    return HeldOutCheck(prompts=len(bad), served=len(served), bad=sum(served), p_value=p_value)


def _examples(project: Project, stage: StageRun, split: str) -> list[Example]:
    path = project.split(split)
    if not path.exists():
        raise UserError(f"{project.relative(path)} is not there yet. Run `distil curate` first.")
    return list(read_examples(stage.reads(path)))


def _predictions(examples: Sequence[Example], answers: Sequence[ChatReply], name: str) -> list[Prediction]:
    return [
        Prediction(
            id=content_id("prediction", [e.prompt_id, name, "calibrate"]),
            prompt_id=e.prompt_id,
            model=name,
            text=a.text,
            tool_calls=a.tool_calls,
            finish_reason=a.finish_reason,
            output_tokens=a.usage.output_tokens,
            token_logprobs=a.token_logprobs,
            token_entropies=a.token_entropies,
        )
        for e, a in zip(examples, answers, strict=True)
    ]
