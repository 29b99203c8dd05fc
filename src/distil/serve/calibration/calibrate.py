"""`distil calibrate`: asks the student the validation prompts, finds the fallback threshold, and writes down what it promises.

Split discipline: the grid of thresholds comes from scores on the test prompts (without their labels), the labels from the
validation prompts, and the test prompts' labels are only reported on at the end. Nothing is paid for. Called by the command line.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from distil.errors import UserError
from distil.ids import content_id
from distil.progress import bar
from distil.records import Example, Prediction, Sampling
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_examples, write_json, write_records
from distil.runs.manifest import StageRun, now, stage_run
from distil.serve.calibration.acceptance import Similarity, bad_answers, choose_rule
from distil.serve.calibration.confidence import confidence
from distil.serve.calibration.learn_then_test import fixed_sequence, make_grid, start_coverage
from distil.serve.calibration.record import FILE, Calibration, HeldOutCheck, promise_of
from distil.serve.config import ServeConfig
from distil.serve.engines.base import Engine, make_engine
from distil.serve.wire import ChatReply, ChatRequest

TEMPERATURE = 0.0  # the gateway's default: what is calibrated is what is served
CONCURRENT = 256
GRID_PROMPTS_LEAST = 20


class Scored(NamedTuple):
    """What the student said to labeled prompts."""

    examples: list[Example]
    answers: list[ChatReply]
    scores: list[float]


def run(project: Project, section: ServeConfig, *, name: str, similarity: Similarity | None = None) -> Calibration:
    """Calibrates the student `name` and writes work/serve/NAME/calibration.json.

    `similarity` compares prose answers (distil.evaluate.similarity.cosines); JSON and labels need none. Raises UserError when
    the student or the validation prompts are missing, or when the engine gives no log-probabilities.
    """
    model = project.model(name)
    if section.engine is None and not model.is_dir():
        raise UserError(f"There is no trained student {name!r}. Run `distil train --as {name}` first.")
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
            queue=max(section.queue, CONCURRENT),
            engine=section.engine,
            key_env=section.engine_key_env,
        )
        answers = asyncio.run(ask_all(engine, [*labeled, *unlabeled], section.default_max_tokens))
        scores = _scores(answers, section.score)
        cut = len(labeled)
        found = decide(
            Scored(labeled, answers[:cut], scores[:cut]),
            Scored(unlabeled, answers[cut:], scores[cut:]),
            section,
            name=name,
            identity=engine.identity,
            similarity=similarity,
        )
        write_json(stage.folder / FILE, found.model_dump(mode="json"))
        stage.wrote(stage.folder / FILE)
        predictions = stage.folder / "predictions.jsonl"
        stage.wrote(predictions, write_records(predictions, _predictions([*labeled, *unlabeled], answers, name)))
        stage.notes.update(promise=found.promise, coverage=found.coverage, threshold=found.threshold)
    return found


def decide(
    labeled: Scored,
    other: Scored,
    section: ServeConfig,
    *,
    name: str,
    identity: str,
    similarity: Similarity | None,
) -> Calibration:
    """The threshold and its promise, from answers and scores.

    With too few test prompts a quarter of the labeled ones makes the grid instead of being tested on.
    """
    targets = [e.answer for e in labeled.examples]
    rule = choose_rule(targets, section.goal)
    scores, grid_scores = list(labeled.scores), list(other.scores)
    bad = bad_answers(rule, [a.text for a in labeled.answers], targets, similarity)
    if (
        len(grid_scores) < GRID_PROMPTS_LEAST
    ):  # every fourth labeled prompt, by its id, gives its score and not its label
        aside = {i for i, e in enumerate(labeled.examples) if int(content_id("grid", e.prompt_id)[-2:], 16) % 4 == 0}
        grid_scores += [scores[i] for i in sorted(aside)]
        scores = [v for i, v in enumerate(scores) if i not in aside]
        bad = [v for i, v in enumerate(bad) if i not in aside]
    delta = 1 - section.confidence
    start = start_coverage(len(scores), section.risk, delta)
    grid = make_grid(grid_scores, start)
    outcome = fixed_sequence(scores, bad, grid, risk=section.risk, delta=delta)
    promise, missing = promise_of(
        outcome,
        labels=len(scores),
        start=start,
        risk=section.risk,
        confidence=section.confidence,
        bad_means=rule.sentence(),
    )
    return Calibration(
        student=name,
        model=identity,
        engine=section.engine,
        score=section.score,
        temperature=TEMPERATURE,
        risk=section.risk,
        confidence=section.confidence,
        goal=rule.goal,
        compared=rule.sentence(),
        threshold=outcome.threshold,
        labels=len(scores),
        served=outcome.served,
        bad=outcome.bad,
        p_value=outcome.p_value,
        coverage=outcome.served / len(scores) if outcome.threshold is not None and scores else 0.0,
        labels_missing=missing,
        test=_held_out(other, outcome.threshold, section, similarity),
        promise=promise,
        created=now(),
    )


async def ask_all(engine: Engine, examples: Sequence[Example], max_tokens: int) -> list[ChatReply]:
    """The engine's greedy answers, asked the way that the gateway asks. Raises BadRequest when one can't be answered."""
    sampling = Sampling(temperature=TEMPERATURE, max_tokens=max_tokens)
    room = asyncio.Semaphore(CONCURRENT)
    await engine.start()
    try:
        with bar("calibrate", total=len(examples), unit="prompts") as progress:

            async def ask(example: Example) -> ChatReply:
                messages = example.prompt_messages
                body = {"messages": [m.to_wire() for m in messages]}
                asked = ChatRequest(
                    "student", messages, sampling, tools=example.tools, explicit_temperature=True, body=body
                )
                async with room:
                    answered = await engine.answer(asked)
                progress.advance()
                return answered

            return list(await asyncio.gather(*(ask(e) for e in examples)))
    finally:
        await engine.stop()


def _scores(answers: Sequence[ChatReply], score: str) -> list[float]:
    found = [confidence(a, score) for a in answers]
    if any(value is None for value in found):
        raise UserError(
            f"The engine gives no {'entropies' if score == 'entropy' else 'log-probabilities'}, so there is no confidence to "
            "calibrate. Use a server that supports `logprobs` (vLLM, SGLang, llama.cpp), another serve.score, or set "
            "serve.engine to null."
        )
    return [float(value) for value in found if value is not None]


def _held_out(
    other: Scored, threshold: float | None, section: ServeConfig, similarity: Similarity | None
) -> HeldOutCheck | None:
    if threshold is None or not other.examples:
        return None
    targets = [e.answer for e in other.examples]
    bad = bad_answers(choose_rule(targets, section.goal), [a.text for a in other.answers], targets, similarity)
    served = [b for s, b in zip(other.scores, bad, strict=True) if s >= threshold]
    return HeldOutCheck(prompts=len(targets), served=len(served), bad=sum(served))


def _examples(project: Project, stage: StageRun, side: str) -> list[Example]:
    path = project.split(side)
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
            finish_reason=a.finish_reason,
            output_tokens=a.usage.output_tokens,
            token_logprobs=a.token_logprobs,
            token_entropies=a.token_entropies,
        )
        for e, a in zip(examples, answers, strict=True)
    ]
