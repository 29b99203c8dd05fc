"""Whether the teacher agrees with itself: second answers to test prompts, and several samples of one prompt."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations

from distil.curate.evidence.corpus import Pair
from distil.curate.votes import describe_task, final_of
from distil.doctor import cures
from distil.doctor.evidence import Evidence
from distil.doctor.finding import Cure, Finding, cure, ok, unknown
from distil.fields import leaves, likeness
from distil.final_answer import are_labels, same_final
from distil.records import Answer, Prompt, Sampling
from distil.text import Json, one_line, parse_object

OFTEN, VERY_OFTEN = 0.2, 0.4
"""Shares of prompts on which the teacher's two answers come to something else: worth a look, and a problem."""
LEAST = 30
"""Prompts with two answers that come to a result, from which a share says something."""


def teacher_contradicts_itself(evidence: Evidence) -> Finding:
    """The teacher's answer against its own second one, where answers come to a result (a label, a number, JSON)."""
    twice = list(_second_answers(evidence)) or list(_samples(evidence))
    if not twice:
        return unknown("The teacher was asked nothing twice.")
    compared, differ, example = _compared(twice)
    if compared < LEAST:
        return unknown(f"Only {compared} prompts have two answers of the teacher that come to a result.")
    share = differ / compared
    seen = f"On {differ:,} of {compared:,} prompts ({share:.1%}) two answers of the teacher come to something else{example}."
    if share < OFTEN:
        return ok(seen)
    return Finding(
        level="problem" if share >= VERY_OFTEN else "warn",
        seen=seen,
        why="A student can't be surer than its teacher: its labels are noise to that degree, and so are those it is tested on.",
        cure=_steadier(evidence),
    )


def _compared(twice: Sequence[tuple[Pair, Pair]]) -> tuple[int, int, str]:
    """(prompts compared, those with different results, an example). Of JSON objects the label that differs most often counts:
    five fields that differ on one prompt in twenty each are not a teacher that can't decide."""
    objects = [(parse_object(one.answer.text), parse_object(other.answer.text)) for one, other in twice]
    whole = [(leaves(one), leaves(other)) for one, other in objects if one is not None and other is not None]
    if 2 * len(whole) >= len(twice):
        paths = dict.fromkeys(path for one, _ in whole for path in one)
        rows = [_field(path, whole) for path in paths if are_labels([str(one.get(path)) for one, _ in whole])]
        return max(rows, key=lambda row: row[1], default=(0, 0, ""))
    task = describe_task([pair for both in twice for pair in both])
    finals = [(final_of(*one, task), final_of(*other, task)) for one, other in twice]
    clear = [(one, other) for one, other in finals if "text" not in (one.kind, other.kind)]
    differ = [(one, other) for one, other in clear if not same_final(one, other)]
    return len(clear), len(differ), f" ({differ[0][0].shown} and {differ[0][1].shown})" if differ else ""


def _field(path: str, objects: Sequence[tuple[dict[str, Json], dict[str, Json]]]) -> tuple[int, int, str]:
    said = [(one[path], other.get(path)) for one, other in objects if path in one]
    differ = [(one, other) for one, other in said if likeness(other, one) < 1]
    example = f" ({one_line(f'{path} {differ[0][0]} and {differ[0][1]}', 80)})" if differ else ""
    return len(said), len(differ), example


def _second_answers(evidence: Evidence) -> Iterable[tuple[Pair, Pair]]:
    """Test prompts with the teacher's answer and its second one, of the first evaluation that has them."""
    prompts = {pair.prompt.id: pair.prompt for pair in evidence.pairs("test")}
    for name in evidence.summaries:
        by_model = evidence.predictions(name)
        second = {prediction.prompt_id: prediction.text for prediction in by_model.get("ceiling", [])}
        for prediction in by_model.get("teacher", []):
            prompt = prompts.get(prediction.prompt_id)
            if prompt is not None and prediction.prompt_id in second:
                yield _said(prompt, prediction.text), _said(prompt, second[prediction.prompt_id])
        if second:
            return


def _samples(evidence: Evidence) -> Iterable[tuple[Pair, Pair]]:
    """Two collected answers of one teacher to one prompt, under the same sampling."""
    known = {pair.prompt.id: pair.prompt for name in ("train", "validation", "test") for pair in evidence.pairs(name)}
    given: dict[tuple[str, str, str], list[Answer]] = {}
    for answer in evidence.answers:
        if answer.prompt_id in known:
            sampling = answer.sampling.model_dump_json(exclude={"seed"})
            given.setdefault((answer.prompt_id, answer.teacher, sampling), []).append(answer)
    for (prompt_id, _, _), answers in given.items():
        for one, other in combinations(answers[:2], 2):
            yield Pair(known[prompt_id], one), Pair(known[prompt_id], other)


def _said(prompt: Prompt, text: str) -> Pair:
    answer = Answer(
        id="", prompt_id=prompt.id, teacher="", sampling=Sampling(), text=text, finish_reason="stop", call_id=""
    )
    return Pair(prompt, answer)


def _steadier(evidence: Evidence) -> Cure:
    """Colder sampling, then the vote of several answers; a file of answers can only be cleaned."""
    config = evidence.config
    if config is None:
        return cure()
    if not cures.can_answer_more(evidence):
        return cures.cleaner_answers(evidence) + cure(
            advice="Say in the prompts what decides, and record the answers again."
        )
    advice = "Say in the prompt or in prompts.system what decides between the answers, with examples of the hard cases."
    if config.teachers[0].sampling.temperature > 0:
        cold = cure({"teachers.0.sampling.temperature": 0.0}, ["distil collect", "distil curate"], advice)
        return cold + cure(advice="Another temperature is another request: all answers are asked for again.")
    return cures.cleaner_answers(evidence) + cure(advice=advice)
