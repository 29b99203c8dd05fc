"""Test prompts that training has seen: word for word, by their group, or up to small changes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from distil.curate.similar import nearest, shingle_sets
from distil.curate.split.links import question_keys
from distil.doctor.data import near_duplicates_off
from distil.doctor.evidence import Evidence
from distil.doctor.finding import Finding, cure, ok, unknown
from distil.records import Example
from distil.text import conversation_text, one_line

NEAR = 0.85
"""Jaccard similarity of character 5-grams from which two prompts are the same up to small changes (curate.near_duplicates)."""
SHARE, LEAST = 0.01, 2
"""Share and number of test prompts from which near ones are a problem: by chance a few are similar."""
MOST_OF, CONTAINED = 0.7, 0.08
"""A prompt whose words are at least 70% of another one and in it in one piece is that prompt with something added. In short
questions of people that happens by chance (4% of banking77, split at random), so it counts from 8% of the test prompts."""
_NUMBER, _WORD = re.compile(r"\d+"), re.compile(r"\w+")


class Near(NamedTuple):
    """A test prompt and the training prompt that it nearly is."""

    test: Example
    train: Example
    similarity: float


def leakage(evidence: Evidence) -> Finding:
    """Test prompts that are also in train or validation, verbatim or nearly."""
    test = evidence.split("test")
    if not test:
        return unknown("There is no test split yet.", "distil curate")
    learned = [*evidence.split("train"), *evidence.split("validation")]
    keys = question_keys([pair.prompt for name in ("train", "validation", "test") for pair in evidence.pairs(name)])
    others = {keys[example.prompt_id] for example in learned}
    groups = {example.group for example in learned if example.group}
    same = sum(keys[example.prompt_id] in others for example in test)
    shared = sum(example.group in groups for example in test if example.group)
    near, highest = near_prompts(test, evidence.split("train"))
    surely = sum(each.similarity >= NEAR for each in near)
    repeated = (surely >= LEAST and surely > SHARE * len(test)) or len(near) > CONTAINED * len(test)
    seen = (
        f"{same} of {len(test):,} test prompts are also in another split, {shared} share a group with one, and {len(near)} "
        f"are a training prompt up to small changes (the highest similarity is {highest:.2f})"
    )
    if near:
        seen += f", such as {one_line(near[0].test.prompt_messages[-1].text, 60)!r}"
    if not same and not shared and not repeated:
        return ok(f"{seen}.")
    return Finding(
        level="problem",
        seen=f"{seen}.",
        why="The student has seen these answers, so the evaluation measures memory instead of skill.",
        cure=near_duplicates_off(evidence)
        + cure(advice="This splits again without leakage; fixed `split` values of such prompts have to go."),
    )


def near_prompts(test: Sequence[Example], train: Sequence[Example]) -> tuple[list[Near], float]:
    """Test prompts that a training prompt repeats up to small changes, and the highest similarity of any.

    Prompts with different numbers in them are different questions (a template), and so are equal ones with other documents.
    """
    if not train:
        return [], 0.0
    sets = shingle_sets([conversation_text(example.prompt_messages) for example in [*train, *test]])
    found = nearest(sets[len(train) :], sets[: len(train)], at_least=NEAR / 2)
    near = []
    for at, example in enumerate(test):
        other = train[int(found.query[at])] if found.query[at] >= 0 else None
        similarity = float(found.similarity[at])
        if other is None or _numbers(example) != _numbers(other):
            continue
        if similarity >= NEAR or _holds(example, other):
            near.append(Near(example, other, similarity))
    return near, float(found.similarity.max(initial=0.0))


def _holds(one: Example, other: Example) -> bool:
    """Whether the words of one prompt are most of the other's, and in it in one piece."""
    short, long = sorted((_plain(one), _plain(other)), key=len)
    return bool(short.strip()) and len(short) >= MOST_OF * len(long) and short in long


def _plain(example: Example) -> str:
    return f" {' '.join(_WORD.findall(conversation_text(example.prompt_messages).lower()))} "


def _numbers(example: Example) -> list[str]:
    return sorted(_NUMBER.findall(conversation_text(example.prompt_messages)))
