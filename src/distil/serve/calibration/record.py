"""The guarantee of a calibration: in words, and read from the disk. No model is run here."""

from __future__ import annotations

from pydantic import ValidationError

from distil.errors import UserError
from distil.records import Record
from distil.runs.artifacts import Project
from distil.runs.jsonl import describe, read_json
from distil.serve.calibration.learn_then_test import Certified, labels_needed

FILE = "calibration.json"


class HeldOutCheck(Record):
    """What the threshold does on the test prompts, whose labels it has never seen. A report, not part of the promise."""

    prompts: int
    """Test prompts."""
    served: int
    """Those that the student would answer itself."""
    bad: int
    """Bad ones among them."""


class Calibration(Record):
    """A threshold with its promise, bound to one model and one way of asking it."""

    student: str
    """Its name."""
    model: str
    """Identity of the model: a hash of its files, or of the server's address and name."""
    engine: str | None
    """The server in front of it, as serve.engine names it; None = in this process."""
    score: str
    """Which confidence score."""
    temperature: float
    """At which the student answered."""
    risk: float
    """Largest share of bad answers among those that the student gives itself."""
    confidence: float
    """1 - delta."""
    goal: float
    """Agreement from which an answer is good."""
    compared: str
    """What bad means."""
    threshold: float | None
    """Confidence from which the student answers; None = never."""
    labels: int
    """Labeled prompts that it rests on."""
    served: int
    """Of those, how many the student would answer itself (or would at the strictest threshold, when none is accepted)."""
    bad: int
    """Bad ones among the served."""
    p_value: float
    """Of the accepted threshold, or of the strictest."""
    coverage: float
    """Share of the labeled prompts that the student answers itself."""
    labels_missing: int | None
    """When nothing is accepted: further labels that would probably do; None = no number would."""
    test: HeldOutCheck | None
    """The same threshold on the test prompts."""
    promise: str
    """In words."""
    created: str
    """ISO time, UTC."""

    def rows(self) -> list[tuple[str, str]]:
        """(name, value) pairs for a table."""
        found = [
            ("promise", self.promise),
            ("threshold", "none" if self.threshold is None else f"{self.threshold:.4f} on the score {self.score}"),
            ("served by the student", f"{self.coverage:.1%} of {self.labels:,} labeled prompts"),
            ("bad among them", f"{self.bad:,} of {self.served:,}"),
        ]
        if self.test is not None:
            share = self.test.served / max(1, self.test.prompts)
            text = f"{share:.1%} served, {self.test.bad:,} of {self.test.served:,} bad"
            found.append(("on the test prompts", text))
        return found


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


def read_calibration(project: Project, name: str) -> Calibration:
    """The calibration of a student. Raises UserError when it is missing or can't be read."""
    path = project.stage("serve", name) / FILE
    if not path.exists():
        raise UserError(
            f"serve.fallback is calibrated, but {name!r} has no calibration yet. Run `distil calibrate {name}`, or type "
            "--set serve.fallback=off to serve without fallback."
        )
    try:
        return Calibration.model_validate(read_json(path))
    except ValidationError as error:
        raise UserError(f"{path}: {describe(error)}. Run `distil calibrate {name}` again.") from None
