"""The guarantee of a calibration in words, or what it lacks."""

from __future__ import annotations

from distil.runs.schemas.attempts import share_of
from distil.runs.schemas.calibration import HeldOutCheck
from distil.serve.calibration.learn_then_test import Certified, labels_needed


def word_refutation(test: HeldOutCheck, *, risk: float, bad_means: str) -> str:
    """What is said where the test prompts refute what the validation prompts had shown."""
    return (
        f"The test prompts refute the threshold that the validation prompts allowed: {test.bad} of the {test.served} answers "
        f"that the student would give itself are bad ({bad_means}), where at most {risk:.0%} were promised "
        f"(p = {test.p_value:.2g}). The two sets are not alike, so nothing is certified and the teacher answers everything. "
        "Curate again with prompts like those that will be served, or allow a higher serve.risk."
    )


def word_attempt(number: int, confidence: float) -> str:
    """Which attempt it is, how much of the error it may spend, and why."""
    if number == 1:
        return (
            f"First attempt for this project's traffic: it may spend {share_of(1):.0%} of the error of {1 - confidence:.2g}; "
            "the rest is for further attempts (more labels, another score, risk or student)."
        )
    return (
        f"Attempt {number} for this project's traffic: it may spend {share_of(number):.2%} of the error of {1 - confidence:.2g}. "
        "All attempts share it, because each is another chance to certify falsely (work/serve/attempts.jsonl)."
    )


def word_guarantee(
    outcome: Certified,
    *,
    labels: int,
    start: float,
    risk: float,
    confidence: float,
    bad_means: str,
    next_error: float,
    group_size: float = 1.0,
) -> tuple[str, int | None]:
    """(the guarantee in words, the number of further labels that it needs). `start`: coverage of the strictest threshold.

    next_error: what the next attempt may spend. group_size: prompts in a usual group, which count together.
    """
    if outcome.threshold is not None:
        share = outcome.served / labels
        return (
            f"With {confidence:.0%} confidence, at most {risk:.0%} of the answers that the student gives itself are bad "
            f"({bad_means}), for requests like the {labels} labeled ones; it answers about {share:.0%} of them. Holds for this "
            "model, template and temperature only."
        ), None
    needed = labels_needed(outcome.served, outcome.bad, risk=risk, delta=next_error, group_size=group_size)
    failure = f"No threshold keeps bad answers ({bad_means}) at or below {risk:.0%} with {confidence:.0%} confidence"
    if needed is None:
        return (
            f"{failure}: even where the student is most confident, {outcome.bad} of {outcome.served} are bad. The teacher "
            "answers everything. Train a better student, or allow a higher serve.risk."
        ), None
    missing = max(1, round(needed / start) - labels)
    return (
        f"{failure}: {outcome.bad} of {outcome.served} bad answers where the student is most confident are too little "
        f"evidence. The teacher answers everything. About {missing} more labeled prompts are needed (collect more, or raise "
        f"curate.validation){_of_groups(group_size)}."
    ), missing


def _of_groups(size: float) -> str:
    return "" if size < 1.5 else f"; prompts of one group count together, and a usual one has {size:.0f}"
