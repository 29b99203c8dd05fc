"""Votes over final answers: what several answers to one prompt come to, how many of them agree, and whom to believe in a tie.

Worked answers are compared by their result (distil.final_answer), so two solutions with the same number agree however they are
worded. Open texts have no result: they get no vote, rather than one for the most average wording.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from distil.curate.evidence.corpus import Corpus, Pair
from distil.curate.evidence.found import Found
from distil.final_answer import (
    Final,
    Kind,
    are_labels,
    final_answer,
    form_of,
    is_label,
    same_final,
    shared_form,
    whole_letter,
)
from distil.quantities import stated_number, whole_quantity
from distil.records import Answer, Prompt
from distil.text import normalize_answer, parse_answer

LABEL_SHARE = 0.8
"""From this share of short texts on, a task's references (or answers) are taken for labels."""


class Task:
    """Facts about all prompts on which the reading of one answer depends."""

    def __init__(self, labels: frozenset[str], groups: Mapping[str, Sequence[Pair]]) -> None:
        self.labels = labels
        """The normalized labels of a classification; empty where it is none."""
        self._groups = groups
        self._kinds: dict[str, Kind] = {}

    def kind(self, prompt_id: str) -> Kind:
        """The kind of result that the answers to a prompt come to; worked out when it is first asked for."""
        if prompt_id not in self._kinds:
            self._kinds[prompt_id] = self._kind(self._groups.get(prompt_id, ()))
        return self._kinds[prompt_id]

    def _kind(self, group: Sequence[Pair]) -> Kind:
        kind = reference_kind(group[0].prompt.reference if group else None, self.labels)
        if kind == "text":
            kind = shared_form(form_of(pair.answer.text, pair.answer.tool_calls) for pair in group)
        if self.labels and kind in ("number", "letter"):  # grades and letters may be a classification's labels
            return "label" if all(normalize_answer(pair.answer.text) in self.labels for pair in group) else kind
        return kind


class Vote(NamedTuple):
    """The answers to one prompt, by what they come to."""

    finals: list[Final]
    """Of each answer."""
    votes: list[int]
    """Of each answer: how many come to the same, itself included."""

    @property
    def decides(self) -> bool:
        """Whether there is something to vote on: at least one answer has a result."""
        return any(final.kind != "text" for final in self.finals)


def groups(pairs: Iterable[Pair]) -> dict[str, list[Pair]]:
    """Prompt id -> its pairs, in their order."""
    found: dict[str, list[Pair]] = defaultdict(list)
    for pair in pairs:
        found[pair.prompt.id].append(pair)
    return dict(found)


def describe_task(pairs: Sequence[Pair]) -> Task:
    """Looks at all references, or at all answers where there are none."""
    grouped = groups(pairs)
    references = [reference for group in grouped.values() if (reference := group[0].prompt.reference)]
    answers = [pair.answer.text for pair in pairs if not pair.answer.tool_calls]
    return Task(_labels(references or answers), grouped)


def _labels(texts: Sequence[str]) -> frozenset[str]:
    short = [text for text in texts if whole_quantity(text) or (is_label(text) and stated_number(text) is None)]
    if len(short) < LABEL_SHARE * len(texts) or not are_labels(short):
        return frozenset()
    return frozenset(map(normalize_answer, short))


def reference_kind(reference: str | None, labels: frozenset[str]) -> Kind:
    """The kind of result that a reference is; text for open ones and where there is none."""
    if not reference:
        return "text"
    if parse_answer(reference) is not None:
        return "json"
    if normalize_answer(reference) in labels:
        return "label"
    if whole_letter(reference):
        return "letter"
    return "number" if stated_number(reference) is not None else "text"


def final_of(prompt: Prompt, answer: Answer, task: Task) -> Final:
    """What an answer comes to, read as the prompt's answers are."""
    return final_answer(answer.text, answer.tool_calls, task.kind(prompt.id), task.labels)


def count_votes(prompt: Prompt, answers: Sequence[Answer], task: Task) -> Vote:
    """Counts the answers to one prompt that come to the same."""
    finals = [final_of(prompt, answer, task) for answer in answers]
    return Vote(finals, [sum(same_final(one, other) for other in finals) for one in finals])


def trust(pairs: Sequence[Pair], task: Task) -> dict[str, float]:
    """Teacher -> share of the other teachers' answers that come to the same as its own, over all prompts with a result.

    No reference is used. It decides ties: of answers with equally many votes, that of the teacher with whom the others agree
    most often is the likeliest to be right.
    """
    agreed: dict[str, float] = defaultdict(float)
    asked: dict[str, int] = defaultdict(int)
    for group in groups(pairs).values():
        answers = [pair.answer for pair in group]
        if len(answers) < 2 or task.kind(group[0].prompt.id) == "text":
            continue
        for answer, votes in zip(answers, count_votes(group[0].prompt, answers, task).votes, strict=True):
            agreed[answer.teacher] += (votes - 1) / (len(answers) - 1)
            asked[answer.teacher] += 1
    return {teacher: agreed[teacher] / count for teacher, count in asked.items()}


def agreement(pairs: Sequence[Pair], corpus: Corpus) -> list[Found | None]:
    """Signal `agreement`: the share of the answers to a prompt that come to the same; None for open texts and single answers."""
    task = describe_task(pairs)
    found: dict[str, Found] = {}
    for group in groups(pairs).values():
        if len(group) < 2:
            continue
        vote = count_votes(group[0].prompt, [pair.answer for pair in group], task)
        if not vote.decides:
            continue
        for pair, final, votes in zip(group, vote.finals, vote.votes, strict=True):
            found[pair.answer.id] = Found(votes / len(group), f"{final.shown}: {votes} of {len(group)} answers")
    return [found.get(pair.answer.id) for pair in pairs]
