"""Which answers are kept: join, choose one per prompt, drop redundant rows. Every dropped answer gets a Verdict.

Results do not depend on the order of the rows. Not the filters (evidence/), not the split (split.py).
"""

from __future__ import annotations

from collections.abc import Sequence

from distil.curate.choose import Judge, choose
from distil.curate.evidence.corpus import Pair
from distil.curate.shingles import jaccard, shingles, text_key
from distil.curate.similar import near_pairs, shingle_sets
from distil.records import Answer, Prompt, Verdict
from distil.text import answer_key, conversation_text


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


def drop_redundant(pairs: Sequence[Pair], near: float | None, verdicts: list[Verdict]) -> list[Pair]:
    """Keeps one of the rows with (nearly) the same question and (nearly) the same answer: the one with the smallest id.

    Held-out rows that the user fixed are never dropped here; a free row that repeats one is a leak, which split.py handles.
    """
    dropped: dict[int, tuple[str, str]] = {}
    order = sorted(range(len(pairs)), key=lambda i: pairs[i].prompt.id)
    free = [i for i in order if pairs[i].prompt.split not in ("test", "validation")]
    first: dict[tuple[str, str], int] = {}
    for index in free:
        prompt, answer = pairs[index]
        asked = "\n".join(f"{m.role}: {m.text}" for m in prompt.messages)
        key = (text_key(asked), answer_key(answer.text, answer.tool_calls))
        earlier = first.setdefault(key, index)
        if earlier != index:
            dropped[index] = ("duplicate", f"same question and answer as {pairs[earlier].prompt.id}")
    if near is not None:
        dropped |= _near_duplicates(pairs, [i for i in free if i not in dropped], near)
    verdicts += [_drop(pairs[index], *dropped[index]) for index in sorted(dropped)]
    return [pair for index, pair in enumerate(pairs) if index not in dropped]


def _near_duplicates(pairs: Sequence[Pair], rows: Sequence[int], near: float) -> dict[int, tuple[str, str]]:
    """Row -> (filter, reason) for those whose question with answer and answer alone both nearly repeat an earlier row."""
    texts = [f"{conversation_text(pairs[i].prompt.messages)}\n{pairs[i].answer.text}" for i in rows]
    neighbors: dict[int, list[tuple[int, float]]] = {}
    for pair in near_pairs(shingle_sets(texts), near):
        neighbors.setdefault(pair.second, []).append((pair.first, pair.similarity))
    dropped: dict[int, tuple[str, str]] = {}
    for position, index in enumerate(rows):
        for other, similarity in neighbors.get(position, ()):
            earlier = rows[other]
            if earlier not in dropped and _same_answer(pairs[earlier].answer, pairs[index].answer, near):
                dropped[index] = ("near_duplicate", f"near-duplicate ({similarity:.2f}) of {pairs[earlier].prompt.id}")
                break
    return dropped


def _same_answer(a: Answer, b: Answer, near: float) -> bool:
    """Two short answers may differ in the one word that matters, so they are compared on their own."""
    if answer_key(a.text, a.tool_calls) == answer_key(b.text, b.tool_calls):
        return True
    if a.tool_calls or b.tool_calls:
        return False  # one argument is all the difference
    return jaccard(shingles(a.text), shingles(b.text)) >= near


def _drop(pair: Pair, name: str, reason: str) -> Verdict:
    return Verdict(answer_id=pair.answer.id, prompt_id=pair.prompt.id, filter=name, keep=False, reason=reason)
