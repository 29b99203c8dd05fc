"""Checks of the students: the failures that the article lists, such as too generic, hallucinates, no better than the baseline.

Every finding compares answers to the same prompts and names the test behind it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from distil.doctor import cures
from distil.doctor.evidence import Evidence
from distil.doctor.finding import Cure, Finding, cure, ok, unknown
from distil.doctor.guards import NOT_YET
from distil.records import Prediction
from distil.runs.schemas.summary import Summary


def too_generic(evidence: Evidence) -> list[Finding]:
    """The article: outputs are too generic. Variety of word pairs, length and the most frequent answer, against the teacher."""
    findings = []
    for student, summary in evidence.distilled.items():
        answers = evidence.predictions(student)
        if answers.get(student) and answers.get("teacher"):
            findings.append(_generic(evidence, summary, answers[student], answers["teacher"]))
    return findings or [NOT_YET]


def _generic(
    evidence: Evidence, summary: Summary, answers: Sequence[Prediction], teacher: Sequence[Prediction]
) -> Finding:
    student = summary.name
    texts, teacher_texts = [answer.text for answer in answers], [answer.text for answer in teacher]
    variety = distinct_pairs(texts) / max(1e-9, distinct_pairs(teacher_texts))
    top, teacher_top = most_common_share(texts), most_common_share(teacher_texts)
    ratio = summary.models[student].get("length_ratio")
    entropies = [value for answer in answers for value in answer.token_entropies]
    entropy = f", {sum(entropies) / len(entropies):.2f} nats of entropy per token" if entropies else ""
    length = f"{ratio.mean:.2f} times the teacher's length, " if ratio else ""
    seen = (
        f"{student}: {length}{variety:.0%} of the teacher's variety of word pairs, most frequent answer "
        f"{top:.1%} (teacher {teacher_top:.1%}){entropy}."
    )
    short = ratio is not None and ratio.high is not None and ratio.high < 0.7
    if variety >= 0.7 and not short and top <= teacher_top + 0.05:
        return Finding(level="ok", seen=seen)
    return Finding(
        level="warn",
        seen=seen,
        why="The student falls back on safe phrases. It needs more varied answers and more unusual prompts to learn from.",
        cure=_more_variety(evidence, student),
    )


def _more_variety(evidence: Evidence, student: str) -> Cure:
    """Warmer sampling where there is a teacher to ask, and more prompts."""
    config = evidence.config
    more = cures.more_examples(evidence, 500) + cures.train_again(evidence, student)
    if config is None or not cures.can_answer_more(evidence) or config.teachers[0].sampling.temperature >= 0.9:
        return more
    advice = "Another temperature is another request: all answers are asked for again."
    return cure({"teachers.0.sampling.temperature": 0.9}, [], advice) + more


def distinct_pairs(texts: Sequence[str]) -> float:
    """Distinct word pairs over all word pairs (distinct-2, Li et al. 2016); a single word is a pair with itself."""
    pairs = [pair for text in texts if (words := text.split()) for pair in zip(words, words[1:] or words, strict=False)]
    return len(set(pairs)) / len(pairs) if pairs else 0.0


def most_common_share(texts: Sequence[str]) -> float:
    """Share of the most frequent text."""
    return Counter(texts).most_common(1)[0][1] / len(texts)


def no_better_than_baseline(evidence: Evidence) -> list[Finding]:
    """The article: distillation doesn't improve over baseline fine-tuning. Paired with the student of the references alone."""
    if not evidence.distilled:
        return [NOT_YET]
    rivals = [rival for rival in evidence.baselines if rival in evidence.summaries]
    if not rivals:
        commands = ["distil train --as baseline --set train.target=reference", "distil evaluate baseline"]
        has_references = any(example.reference for example in evidence.split("train"))
        seen = "No student was trained on the references alone" + (
            "." if has_references else ", and the prompts have no references to train on."
        )
        return [unknown(seen, *(commands if has_references else []))]
    findings = []
    for student, summary in evidence.distilled.items():
        comparison = evidence.compared(student, rivals[-1])
        row = next((d for d in comparison.differences if d.metric == summary.primary), None) if comparison else None
        if comparison is None or row is None or row.difference.low is None:
            continue
        if row.difference.low > 0:
            findings.append(Finding(level="ok", seen=comparison.sentence))
            continue
        worse = row.difference.high is not None and row.difference.high < 0
        left = _left_to_gain(summary, evidence.summaries[rivals[-1]], rivals[-1])
        if not worse and left is not None and left <= summary.goals.get("margin", 0.05):
            findings.append(
                ok(f"{comparison.sentence} {rivals[-1]} is {left:+.3f} from the teacher: little is left to gain.")
            )
            continue
        findings.append(
            Finding(
                level="problem" if worse else "warn",
                seen=comparison.sentence,
                why="Distillation needs 5 to 10 times more examples than labeled data, a teacher that is clearly better at this "
                "task, or several teachers.",
                cure=cures.more_examples(evidence, 5 * max(200, len(evidence.split("train"))))
                + cures.train_again(evidence, student),
            )
        )
    seen = "The students were evaluated on different prompts, so they can't be compared."
    return findings or [Finding(level="unknown", seen=seen)]


def _left_to_gain(summary: Summary, rival: Summary, name: str) -> float | None:
    """How much better than the rival the teacher is in the deciding metric; None where that is not measured."""
    teacher = summary.models.get("teacher", {}).get(summary.primary) or summary.models.get("ceiling", {}).get(
        summary.primary
    )
    theirs = rival.models.get(name, {}).get(summary.primary)
    return None if teacher is None or theirs is None else teacher.mean - theirs.mean


def better_than_base(evidence: Evidence) -> list[Finding]:
    """Did training help? Paired with the same model before training."""
    findings = []
    for student, summary in evidence.summaries.items():
        row = summary.difference(summary.primary, "base")
        if row is None or row.difference.low is None:
            continue
        label = summary.metrics[summary.primary].label
        change, low, high = row.difference.mean, row.difference.low, row.difference.high
        seen = f"{student}: {change:+.3f} {label} against the base model ({low:+.3f} to {high:+.3f})."
        findings.append(
            Finding(level="ok", seen=seen)
            if row.difference.low > 0
            else Finding(
                level="problem",
                seen=seen,
                why="Training made no improvement that the evaluation can measure.",
                cure=cure(commands=["distil selfcheck"]) + cures.learn_better(evidence, student),
            )
        )
    return findings or [NOT_YET]


def teacher_is_better(evidence: Evidence) -> Finding:
    """The article: check if the teacher is actually better on the task. Against the base model, given references."""
    for summary in evidence.summaries.values():
        metric = next((m for m in ("field_accuracy", "accuracy") if m in summary.models.get("teacher", {})), None)
        if metric is None or metric not in summary.models.get("base", {}):
            continue
        teacher, base = summary.models["teacher"][metric], summary.models["base"][metric]
        seen = f"Teacher {teacher.mean:.1%}, base model {base.mean:.1%} {summary.metrics[metric].label} against the references."
        if teacher.low is not None and base.high is not None and teacher.low > base.high:
            return Finding(level="ok", seen=seen)
        return Finding(
            level="problem",
            seen=seen,
            why="A student can't improve by learning from a teacher that is not better.",
            cure=cure(
                commands=["distil collect", "distil curate"],
                advice="First name a stronger model under `teachers:` in distil.yaml.",
            ),
        )
    if not evidence.summaries:
        return NOT_YET
    return Finding(level="unknown", seen="The prompts have no `reference`, so the teacher can't be measured.")


def below_the_goal(evidence: Evidence) -> list[Finding]:
    """The article's goal of 0.85 for the mean similarity, read beside what the teacher reaches with itself."""
    findings = []
    for student, summary in evidence.distilled.items():
        similarity, goal = summary.models[student].get("similarity"), summary.goals["goal_similarity"]
        if similarity is None:
            continue
        ceiling = summary.models.get("ceiling", {}).get("similarity")
        reference = f", the teacher with itself {ceiling.mean:.3f}" if ceiling else ""
        seen = f"{student}: average similarity {similarity.mean:.3f}, the article's goal {goal:.2f}{reference}."
        as_good = summary.deciding is not None and summary.deciding.metric == "similarity" and summary.deciding.proven
        if as_good or similarity.mean >= min(goal, ceiling.mean if ceiling else goal):
            findings.append(Finding(level="ok", seen=seen))
            continue
        why = "What its training shows comes first: the rate, or more or fewer epochs; else more training data."
        findings.append(Finding(level="problem", seen=seen, why=why, cure=cures.learn_better(evidence, student)))
    return findings or [NOT_YET]
