"""Which answers are kept: join, choose one per prompt. Every dropped answer gets a Verdict.

Results do not depend on the order of the rows. Not the filters (evidence/), not the duplicates (duplicates.py).
"""

from __future__ import annotations

from collections.abc import Sequence

from distil.curate.choose import Judge, choose
from distil.curate.evidence.corpus import Pair
from distil.records import Answer, Prompt, Verdict


def join(prompts: Sequence[Prompt], answers: Sequence[Answer], teachers: Sequence[str] | None) -> list[Pair]:
    """Every answer with its prompt: prompts in their order, answers by teacher (in the given order) and sample."""
    order = {name: rank for rank, name in enumerate(teachers or dict.fromkeys(a.teacher for a in answers))}
    of_prompt: dict[str, list[Answer]] = {}
    for answer in answers:
        of_prompt.setdefault(answer.prompt_id, []).append(answer)
    return [
        Pair(prompt, answer)
        for prompt in prompts
        for answer in sorted(
            of_prompt.get(prompt.id, []), key=lambda a: (order.get(a.teacher, len(order)), a.sample, a.id)
        )
    ]


def choose_answers(pairs: Sequence[Pair], method: str, judge: Judge | None, verdicts: list[Verdict]) -> list[Pair]:
    """One pair per prompt; the losers get the verdict `choose`."""
    of_prompt: dict[str, list[Pair]] = {}
    for pair in pairs:
        of_prompt.setdefault(pair.prompt.id, []).append(pair)
    chosen = []
    for group in of_prompt.values():
        choice = choose(method, group[0].prompt, [pair.answer for pair in group], judge)
        chosen.append(Pair(group[0].prompt, choice.answer))
        verdicts += [
            _drop(pair, "choose", f"{choice.answer.id} was chosen: {choice.reason}")
            for pair in group
            if pair.answer.id != choice.answer.id
        ]
    return chosen


def _drop(pair: Pair, name: str, reason: str) -> Verdict:
    return Verdict(answer_id=pair.answer.id, prompt_id=pair.prompt.id, filter=name, keep=False, reason=reason)
