"""Checks of what students say: always the same, or words that nobody taught them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from distil.doctor import cures
from distil.doctor.evidence import Evidence
from distil.doctor.finding import Cure, Finding, cure, ok
from distil.doctor.guards import NOT_YET
from distil.fields import leaves
from distil.final_answer import are_labels
from distil.records import Prediction
from distil.text import normalize_answer, one_line, parse_object

ALWAYS = 0.9
"""Share of the prompts on which a student gives one answer, to be asked about the others."""
LEAST_OTHERS = 10
"""Prompts on which the teacher says something else."""
MISSED = 0.2
"""Share of those on which the student is still right, up to which it has not learned them."""
INVENTS, INVENTS_MUCH = 0.05, 0.15
"""How many more of a student's answers than of the teacher's have words that are in no prompt and no training row."""
RATIO = 1.5
"""And how many times more such words among all words: longer answers have more of both."""
SURE = 3.0
"""Standard errors of that difference."""
_WORD = re.compile(r"[^\W\d_]{4,}")


class Stuck(NamedTuple):
    """One answer, or one field of the answers, that a student gives nearly always."""

    what: str
    """`the answer`, or the field's name."""
    value: str
    share: float
    """Of all prompts on which the student says it."""
    others: int
    """Prompts on which the teacher says something else."""
    right: int
    """Of those: prompts on which the student says what the teacher says."""


def always_the_same(evidence: Evidence) -> list[Finding]:
    """A label, or a field, for which the student has one value whatever it is asked."""
    findings = []
    for student in evidence.distilled:
        answers = evidence.predictions(student)
        if not answers.get(student) or not answers.get("teacher"):
            continue
        stuck = _stuck(_by_prompt(answers[student]), _by_prompt(answers["teacher"]))
        if not stuck:
            findings.append(
                ok(f"{student}: no label is given on more than {ALWAYS:.0%} of the prompts in place of others.")
            )
            continue
        worst = max(stuck, key=lambda each: each.others)
        findings.append(
            Finding(
                level="problem",
                seen=f"{student}: {worst.what} is {one_line(worst.value, 60)!r} on {worst.share:.1%} of the prompts; where the "
                f"teacher says something else ({worst.others:,} prompts), it is right on {worst.right:,}.",
                why="It has learned what is frequent, and not when something else is right.",
                cure=_balanced(evidence, student),
            )
        )
    return findings or [NOT_YET]


def _by_prompt(predictions: Sequence[Prediction]) -> dict[str, str]:
    return {prediction.prompt_id: prediction.text for prediction in predictions}


def _stuck(student: Mapping[str, str], teacher: Mapping[str, str]) -> list[Stuck]:
    shared = [key for key in student if key in teacher]
    found = _judged("the answer", [(student[key], teacher[key]) for key in shared])
    objects = [(parse_object(student[key]), parse_object(teacher[key])) for key in shared]
    flat = [(leaves(ours or {}), leaves(theirs)) for ours, theirs in objects if theirs is not None]
    for path in dict.fromkeys(path for _, theirs in flat for path in theirs):
        said = [(str(ours.get(path)), str(theirs[path])) for ours, theirs in flat if path in theirs]
        if are_labels([theirs for _, theirs in said]):
            found += _judged(path, said)
    return found


def _judged(what: str, said: Sequence[tuple[str, str]]) -> list[Stuck]:
    pairs = [(normalize_answer(ours), normalize_answer(theirs)) for ours, theirs in said]
    if not pairs:
        return []
    value, count = Counter(ours for ours, _ in pairs).most_common(1)[0]
    others = [(ours, theirs) for ours, theirs in pairs if theirs != value]
    right = sum(ours == theirs for ours, theirs in others)
    stuck = count >= ALWAYS * len(pairs) and len(others) >= LEAST_OTHERS and right <= MISSED * len(others)
    shown = next(ours for ours, _ in said if normalize_answer(ours) == value)
    return [Stuck(what, shown, count / len(pairs), len(others), right)] if stuck else []


def _balanced(evidence: Evidence, student: str) -> Cure:
    """Equally many rows of each label where the training rows have one that is frequent; else what its training shows."""
    config, train = evidence.config, evidence.split("train")
    texts = [normalize_answer(example.answer) for example in train]
    frequent = bool(texts) and Counter(texts).most_common(1)[0][1] > 0.5 * len(texts)
    if config is not None and frequent and config.curate.balance is None:
        return cure({"curate.balance": "label"}, ["distil curate"]) + cures.train_again(evidence, student)
    return cures.learn_better(evidence, student)


def invented_words(evidence: Evidence) -> list[Finding]:
    """Words of a student's answers that are in no training row and not in the prompt, against the teacher's answers."""
    known = {word for example in evidence.split("train") for turn in example.messages for word in _words(turn.text)}
    asked = {
        example.prompt_id: {word for turn in example.prompt_messages for word in _words(turn.text)}
        for example in evidence.split("test")
    }
    findings = []
    for student in evidence.distilled if known and asked else ():
        answers = evidence.predictions(student)
        theirs = answers.get("ceiling") or answers.get("teacher") or []
        ours, other = _by_prompt(answers.get(student, [])), _by_prompt(theirs)
        shared = [key for key in ours if key in other and key in asked]
        if shared:
            rows = [(_new(ours[key], known | asked[key]), _new(other[key], known | asked[key])) for key in shared]
            words = sum(len(_words(ours[key])) for key in shared), sum(len(_words(other[key])) for key in shared)
            findings.append(_invented(evidence, student, rows, words))
    return findings or [NOT_YET]


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def _new(text: str, known: set[str]) -> list[str]:
    return [word for word in _words(text) if word not in known]


def _invented(
    evidence: Evidence, student: str, rows: Sequence[tuple[list[str], list[str]]], words: tuple[int, int]
) -> Finding:
    ours, theirs = sum(bool(mine) for mine, _ in rows), sum(bool(their) for _, their in rows)
    only_ours = sum(bool(mine) and not their for mine, their in rows)
    only_theirs = sum(bool(their) and not mine for mine, their in rows)
    more = (ours - theirs) / len(rows)
    frequent = Counter(word for mine, _ in rows for word in mine).most_common(3)
    seen = f"{student}: {ours / len(rows):.1%} of its answers have words that are in no prompt and no training row"
    seen += f" ({', '.join(one_line(word, 30) for word, _ in frequent)})" if frequent else ""
    seen += f", the teacher's {theirs / len(rows):.1%}."
    rate = (
        sum(len(mine) for mine, _ in rows) / max(1, words[0]),
        sum(len(their) for _, their in rows) / max(1, words[1]),
    )
    surely = only_ours - only_theirs > SURE * max(1.0, only_ours + only_theirs) ** 0.5
    if more < INVENTS or not surely or rate[0] < RATIO * rate[1]:
        return ok(seen)
    return Finding(
        level="problem" if more >= INVENTS_MUCH else "warn",
        seen=seen,
        why="It makes things up: products, names or words that nobody taught it.",
        cure=cures.closer_to_the_labels(evidence, student),
    )
