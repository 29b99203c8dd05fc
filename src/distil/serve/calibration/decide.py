"""From answers and confidences to a calibration: which threshold is certified, by which attempt, and whether it survives.

The labels are those of the validation prompts, the grid of thresholds comes from the scores of the test prompts. Their labels are
only looked at when the threshold is found: they can take it away, not give it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from distil.errors import UserError
from distil.ids import content_id, now
from distil.runs.schemas.attempts import Attempt, number_of, share_of
from distil.runs.schemas.calibration import Calibration, HeldOutCheck
from distil.serve.calibration.acceptance import Rule, Similarity
from distil.serve.calibration.frontier import Money, Waiting, frontier
from distil.serve.calibration.guarantee import word_attempt, word_guarantee, word_refutation
from distil.serve.calibration.learn_then_test import Certified, certify, refuting_p_value, usual_group
from distil.serve.calibration.scored import TEMPERATURE, Scored, as_request
from distil.serve.certificate.shape import shape_of
from distil.serve.config import ServeConfig

MIN_GRID_PROMPTS = 20


class Student(NamedTuple):
    """Whose threshold it is."""

    name: str
    identity: str
    """Of its weights, or of the server's address and name."""
    left_out: int = 0
    """Validation prompts that chose its checkpoint, which do not count as labels."""
    money: Money | None = None
    """Its bill, where it is known."""
    waiting: Waiting | None = None
    """Its and the teacher's seconds, where they are known."""


class Judged(NamedTuple):
    """Test prompts that can be judged."""

    scored: Scored
    bad: list[bool]
    """Whether the student's answer to each is bad."""


class Unlabeled(NamedTuple):
    """The test prompts."""

    held_out: Scored
    """Those like the requests to come."""
    apart: Scored
    """Those of another kind (evaluate.set_apart), which no promise is about."""


def decide(
    labeled: Scored,
    tests: Unlabeled,
    student: Student,
    section: ServeConfig,
    attempts: list[Attempt],
    *,
    rule: Rule,
    similarity: Similarity | None,
) -> tuple[Calibration, Attempt]:
    """The calibration, and the attempt that it is among those made before. Raises UserError."""
    held_out = tests.held_out
    labeled, bad = labeled.judged(rule, similarity)
    tested = _judged(held_out, rule, similarity)
    if not labeled.examples:
        raise UserError("No validation prompt can be judged. Give the prompts a `reference`, or set serve.bad to auto.")
    evidence = _evidence(labeled, bad, held_out, student, section, rule)
    number = number_of(attempts, evidence)
    further = 1 + max([number, *(attempt.number for attempt in attempts)])
    found = _test(labeled, bad, held_out, rule, section, (number, further), tested)
    calibration = Calibration(
        student=student.name,
        model=student.identity,
        engine=section.engine,
        score=section.score,
        prefix_tokens=section.decided_tokens,
        temperature=TEMPERATURE,
        risk=section.risk,
        confidence=section.confidence,
        goal=rule.goal,
        bad_by=rule.by,
        compared=rule.sentence(),
        labels=found.labels,
        threshold=found.outcome.threshold,
        left_out=student.left_out,
        served=found.outcome.served,
        bad=found.outcome.bad,
        p_value=found.outcome.p_value,
        attempt=number,
        spent=(1 - section.confidence) * share_of(number),
        spending=word_attempt(number, section.confidence),
        coverage=found.outcome.served / found.labels if found.outcome.threshold is not None else 0.0,
        labels_missing=found.missing,
        test=found.test,
        apart=_check(_judged(tests.apart, rule, similarity), found.outcome.threshold, rule, section.risk),
        frontier=frontier(tested.scored, tested.bad, tested.scored.teacher_bad(rule), student.money, student.waiting),
        frontier_prompts=len(tested.bad),
        refuted=found.refuted,
        promise=found.promise,
        shape=shape_of([as_request(e, section.default_max_tokens) for e in labeled.examples], labeled.answers),
        created=now("seconds"),
    )
    return calibration, _attempt(calibration, evidence)


def _attempt(calibration: Calibration, evidence: str) -> Attempt:
    return Attempt(
        number=calibration.attempt,
        evidence=evidence,
        student=calibration.student,
        score=calibration.score,
        risk=calibration.risk,
        confidence=calibration.confidence,
        compared=calibration.compared,
        labels=calibration.labels,
        certified=calibration.threshold is not None,
        created=calibration.created,
    )


class _Found(NamedTuple):
    """What the labels show."""

    outcome: Certified
    labels: int
    promise: str
    missing: int | None
    test: HeldOutCheck | None
    refuted: bool


def _test(
    labeled: Scored,
    bad: Sequence[bool],
    held_out: Scored,
    rule: Rule,
    section: ServeConfig,
    numbers: tuple[int, int],
    tested: Judged,
) -> _Found:
    """Walks the thresholds, words the result, and holds it against the test prompts that can be judged, `tested`.

    numbers: of this attempt and the next.
    """
    risk, error = section.risk, 1 - section.confidence
    outcome, labels, start = walk_thresholds(
        labeled, bad, held_out.scores, risk=risk, delta=error * share_of(numbers[0])
    )
    promise, missing = word_guarantee(
        outcome,
        labels=labels,
        start=start,
        risk=risk,
        confidence=section.confidence,
        next_error=error * share_of(numbers[1]),
        bad_means=rule.sentence(),
        group_size=usual_group(labeled.groups),
    )
    test = _check(tested, outcome.threshold, rule, risk)
    if test is None or test.p_value > error:
        return _Found(outcome, labels, promise, missing, test, refuted=False)
    promise = word_refutation(test, risk=risk, bad_means=rule.sentence())
    return _Found(outcome._replace(threshold=None), labels, promise, None, test, refuted=True)


def _evidence(
    labeled: Scored, bad: Sequence[bool], held_out: Scored, student: Student, section: ServeConfig, rule: Rule
) -> str:
    """Hash of what is tested. Scores are left out: in their last digits they depend on the machine."""
    rows = sorted((e.prompt_id, is_bad) for e, is_bad in zip(labeled.examples, bad, strict=True))
    asked = [student.identity, section.score, section.decided_tokens, section.risk, section.confidence, rule.sentence()]
    return content_id("attempt", [asked, rows, sorted(e.prompt_id for e in held_out.examples)])


def walk_thresholds(
    labeled: Scored, bad: Sequence[bool], grid_scores: Sequence[float], *, risk: float, delta: float
) -> tuple[Certified, int, float]:
    """(the outcome, the number of labels tested on, the coverage of the strictest threshold).

    With too few scores for a grid a quarter of the labeled prompts is added to the grid instead of being tested on.
    """
    scores, groups = labeled.scores, labeled.groups
    if len(grid_scores) < MIN_GRID_PROMPTS:
        # every fourth labeled prompt, by its id, contributes its score and not its label
        for_grid = [int(content_id("grid", e.prompt_id)[-2:], 16) % 4 == 0 for e in labeled.examples]
        grid_scores = [*grid_scores, *(score for score, aside in zip(scores, for_grid, strict=True) if aside)]
        scores = [score for score, aside in zip(scores, for_grid, strict=True) if not aside]
        bad = [is_bad for is_bad, aside in zip(bad, for_grid, strict=True) if not aside]
        groups = [group for group, aside in zip(groups, for_grid, strict=True) if not aside]
    outcome, start = certify(scores, bad, grid_scores, risk=risk, delta=delta, groups=groups)
    return outcome, len(scores), start


def _judged(prompts: Scored, rule: Rule, similarity: Similarity | None) -> Judged:
    return Judged(*prompts.judged(rule, similarity)) if prompts.examples else Judged(prompts, [])


def _check(tested: Judged, threshold: float | None, rule: Rule, risk: float) -> HeldOutCheck | None:
    held_out, bad = tested
    if threshold is None or not bad:
        return None
    rows = held_out.at_least(threshold)
    served = [bad[row] for row in rows]
    p_value = refuting_p_value(served, [held_out.groups[row] for row in rows], risk)
    return HeldOutCheck(
        prompts=len(bad),
        served=len(served),
        bad=sum(served),
        teacher_bad=sum(held_out.teacher_bad(rule)) if rule.by == "reference" else None,
        p_value=p_value,
    )
