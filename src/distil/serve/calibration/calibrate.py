"""`distil calibrate`: the student answers the validation prompts, and a fallback threshold with its guarantee comes out.

Split discipline: the grid of thresholds comes from scores on the test prompts (without their labels), the labels from the
validation prompts, and the test prompts' labels are only reported on at the end. Nothing is paid for, except for a judge.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from distil import loops
from distil.calls.config import TeacherConfig
from distil.errors import UserError
from distil.ids import content_id
from distil.judging.settings import Settings
from distil.progress import bar
from distil.records import Example, Prediction
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_examples, write_json, write_records
from distil.runs.manifest import StageRun, read_manifest, stage_run
from distil.runs.schemas.attempts import keep_attempt, read_attempts
from distil.runs.schemas.calibration import Calibration
from distil.runs.schemas.notes import TrainNotes, TrainSettings
from distil.serve.calibration.acceptance import Rule, Similarity, choose_rule
from distil.serve.calibration.confidence import confidence
from distil.serve.calibration.decide import Student, Unlabeled, decide
from distil.serve.calibration.frontier import read_money, read_waiting
from distil.serve.calibration.judge import Judge
from distil.serve.calibration.scored import Scored, as_request
from distil.serve.certificate.canary import take_canaries
from distil.serve.certificate.depends import Subject, facts, sealed
from distil.serve.config import ServeConfig
from distil.serve.engines.base import Engine, behind_provider, make_engine, require_answers
from distil.serve.wire import ChatReply, ChatRequest

CONCURRENCY = 256


def run(
    project: Project,
    section: ServeConfig,
    *,
    name: str,
    similarity: Similarity | None = None,
    is_apart: Callable[[Example], bool] | None = None,
    teachers: Sequence[TeacherConfig] = (),
    system: str | None = None,
    judge: Settings | None = None,
) -> Calibration:
    """Calibrates the student `name` and writes work/serve/NAME/calibration.json.

    `similarity` compares prose answers (distil.evaluate.similarity.cosines); JSON and labels need none. is_apart: whether a test
    prompt is of another kind (evaluate.set_apart), so that it neither makes nor refutes a promise. teachers, system: the
    config's, on which the threshold depends. judge: who is asked with serve.bad: judge. Raises UserError when the student or the
    validation prompts are missing, or when the engine gives no log-probabilities; with a judge also BudgetReached.
    """
    model, section = project.model(name), behind_provider(project, name, section)
    if section.engine is None and not model.is_dir():
        raise UserError(f"There is no trained student {name!r}. Run `distil train --as {name}` first.")
    require_answers(section.engine, section.engine_key_env)
    with stage_run(project, "serve", section.model_dump(mode="json"), name=name) as stage:
        labeled, left_out = _labeled(project, stage, name)
        unlabeled = _examples(project, stage, "test")
        if section.engine is None:
            stage.reads(model)
        rule, judged = _rule(project, section, judge, labeled, unlabeled)
        engine = _engine(str(model), section)
        answers = loops.run(answer_all(engine, [*labeled, *unlabeled], section.default_max_tokens))
        scores = _scores(answers, section)
        split = len(labeled)
        tested = Scored(unlabeled, answers[split:], scores[split:])
        apart = [is_apart is not None and is_apart(example) for example in unlabeled]
        if judged is not None:
            judged.ask([*Scored(labeled, answers[:split], scores[:split]).given(), *tested.given()])
            stage.usd = judged.usd
        attempts = read_attempts(project.attempts)
        waiting = read_waiting(project, name) if section.engine is None else None
        calibration, attempt = decide(
            Scored(labeled, answers[:split], scores[:split]),
            Unlabeled(tested.only([not other for other in apart]), tested.only(apart)),
            Student(name, engine.identity, left_out, read_money(project, name), waiting),
            section,
            attempts,
            rule=rule,
            similarity=similarity,
        )
        keep_attempt(project.attempts, attempts, attempt)
        version = take_canaries(project, section, name, [as_request(e, section.default_max_tokens) for e in labeled])
        subject = Subject(project, name, section, teachers, system, None if judged is None else judge)
        calibration = calibration.model_copy(update={"judge": "" if judged is None else judged.note})
        calibration = sealed(calibration, facts(subject) | version, section.goal)
        write_json(project.calibration(name), calibration.model_dump(mode="json"))
        stage.wrote(project.calibration(name))
        predictions = project.calibration_predictions(name)
        stage.wrote(predictions, write_records(predictions, _predictions([*labeled, *unlabeled], answers, name)))
        notes = {"promise": calibration.promise, "coverage": calibration.coverage, "threshold": calibration.threshold}
        stage.notes.update(notes)
    return calibration


def _rule(
    project: Project,
    section: ServeConfig,
    settings: Settings | None,
    labeled: Sequence[Example],
    unlabeled: Sequence[Example],
) -> tuple[Rule, Judge | None]:
    """What bad means, and the judge that is to be asked, ready to be. `auto` asks none that has no cap. Raises UserError."""
    judge = None
    if settings is not None and (section.bad == "judge" or section.judge_budget_usd is not None):
        judge = Judge(project.ledger, settings, section.judge_budget_usd, section.goal)
    rule = choose_rule(labeled, section.bad, section.goal, None if judge is None else judge.rule)
    if judge is None or rule.by != "judge":
        return rule, None
    judge.check([*labeled, *unlabeled])
    return rule, judge


def _engine(model: str, section: ServeConfig) -> Engine:
    queue = max(section.queue, CONCURRENCY)
    served, key = section.engine, section.engine_key_env
    return make_engine(model, batch_size=section.batch_size, queue=queue, engine=served, key_env=key)


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


def _scores(answers: Sequence[ChatReply], section: ServeConfig) -> list[float]:
    score, prefix = section.score, section.decided_tokens
    scores = [value for value in (confidence(a, score, prefix) for a in answers) if value is not None]
    if len(scores) < len(answers):
        raise UserError(
            f"The engine gives no {'entropies' if score == 'entropy' else 'log-probabilities'}, so there is no confidence to "
            "calibrate. Use a server that supports `logprobs` (vLLM, SGLang, llama.cpp), another serve.score, or set "
            "serve.engine to null."
        )
    return scores


def _labeled(project: Project, stage: StageRun, name: str) -> tuple[list[Example], int]:
    """As `_unseen`, of the validation prompts. Raises UserError when none are left."""
    labeled, left_out = _unseen(project, name, _examples(project, stage, "validation"))
    if not labeled:
        chose = f", apart from the {left_out} that chose the student's checkpoint" if left_out else ""
        raise UserError(
            f"work/curate/validation.jsonl holds no examples to calibrate on{chose}. Raise curate.validation."
        )
    return labeled, left_out


def _unseen(project: Project, name: str, examples: list[Example]) -> tuple[list[Example], int]:
    """The validation prompts that did not choose the student's checkpoint, and how many did. Raises UserError.

    A student looks better on the prompts that it was chosen by than on others. Groups stay together.
    """
    manifest = read_manifest(project, "train", name)
    if TrainSettings.of(manifest).early_stopping is None:
        return examples, 0
    chose = TrainNotes.of(manifest).chose
    if chose is None:
        raise UserError(
            f"The checkpoint of {name!r} was chosen by validation prompts (train.early_stopping), and which ones was not noted, "
            "so there are none to calibrate on. Train it again, which keeps half of them for that: "
            f"distil train --as {name} --force"
        )
    seen = set(chose)
    groups = {e.group for e in examples if e.prompt_id in seen} - {None}
    kept = [e for e in examples if e.prompt_id not in seen and (e.group is None or e.group not in groups)]
    return kept, len(examples) - len(kept)


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
