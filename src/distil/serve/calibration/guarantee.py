"""The guarantee of a calibration in words, or what it lacks."""

from __future__ import annotations

from distil.serve.calibration.learn_then_test import Certified, labels_needed


def word_guarantee(
    outcome: Certified, *, labels: int, start: float, risk: float, confidence: float, bad_means: str
) -> tuple[str, int | None]:
    """(the guarantee in words, the number of further labels that it needs). `start`: coverage of the strictest threshold."""
    if outcome.threshold is not None:
        share = outcome.served / labels
        return (
            f"With {confidence:.0%} confidence, at most {risk:.0%} of the answers that the student gives itself are bad "
            f"({bad_means}), for requests like the {labels} labeled ones; it answers about {share:.0%} of them. Holds for this "
            "model, template and temperature only."
        ), None
    needed = labels_needed(outcome.served, outcome.bad, risk=risk, delta=1 - confidence)
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
        "curate.validation)."
    ), missing
