"""The fallback threshold of one student: the content of work/serve/NAME/calibration.json."""

from __future__ import annotations

from pydantic import Field

from distil.records import Record
from distil.runs.schemas.shape import Shape


class HeldOutCheck(Record):
    """The threshold on the test prompts, whose labels it has never seen: it can take the guarantee away, not give it."""

    prompts: int
    """Test prompts."""
    served: int
    """Those that the student would answer itself."""
    bad: int
    """Bad ones among them."""
    teacher_bad: int | None = None
    """Bad ones among the teacher's answers to all of these prompts; None where the teacher's answers are the measure."""
    p_value: float = 1.0
    """Of "the promised risk is kept": below 1 - confidence these prompts refute the promise, and nothing is certified."""


class FrontierPoint(Record):
    """What one share of answers by the student comes to, estimated on the test prompts. Nothing of it is promised."""

    share: float
    """Of the requests, that the student answers itself."""
    threshold: float
    """The confidence from which it does."""
    bad: float
    """Share of its answers that are bad."""
    low: float
    """Lower end of the 95% interval of `bad`."""
    high: float
    """Upper end."""
    quality: float
    """Share of good answers to all requests, with the teacher's for the rest."""
    usd_per_month: float | None
    """Student and teacher together; None = unknown without `distil cost`."""
    p50_s: float | None
    """Median seconds to the answer, the teacher's after the student's; None = unknown without `distil evaluate`."""
    p95_s: float | None
    """95% of the answers are there after so many seconds."""


class Calibration(Record):
    """A threshold with its guarantee, for one model at one temperature."""

    student: str
    """Its name."""
    model: str
    """Identity of the model: a hash of its files, or of the server's address and name."""
    engine: str | None
    """The server in front of it, as serve.engine names it; None = in this process."""
    score: str
    """Which confidence score."""
    prefix_tokens: int | None = None
    """The score is that of the first so many tokens, for streams that are passed on after them; None = of the whole answer."""
    temperature: float
    """At which the student answered."""
    risk: float
    """Largest share of bad answers among those that the student gives itself."""
    confidence: float
    """1 - delta."""
    goal: float
    """An answer is good from this agreement on."""
    bad_by: str
    """What decides whether an answer is bad: reference | judge | fields | similarity."""
    compared: str
    """What bad means, in words."""
    judge: str = ""
    """With a judge: how many answers it was asked about, and how many of them got no verdict."""
    threshold: float | None
    """Confidence from which the student answers; None = never."""
    labels: int
    """Labeled prompts that it was tested on."""
    left_out: int = 0
    """Validation prompts that chose the student's checkpoint (early stopping), and therefore do not count as labels."""
    served: int
    """Of those, how many the student would answer itself (or would at the strictest threshold, when none is accepted)."""
    bad: int
    """Bad ones among the served."""
    p_value: float
    """Of the accepted threshold, or of the strictest."""
    attempt: int
    """Which attempt of this project it is, from 1 (distil.runs.schemas.attempts)."""
    spent: float
    """Error that this attempt may spend: its share of 1 - confidence."""
    spending: str
    """The same in words."""
    coverage: float
    """Share of the labeled prompts that the student answers itself."""
    labels_missing: int | None
    """When nothing is accepted: further labels that would probably suffice; None = no number would."""
    test: HeldOutCheck | None
    """The same threshold on the test prompts."""
    refuted: bool
    """The test prompts refute what the validation prompts had allowed, so that nothing is certified."""
    apart: HeldOutCheck | None = None
    """The same on the test prompts of evaluate.set_apart: requests of another kind, which the promise is not about."""
    frontier: list[FrontierPoint] = Field(default_factory=list)
    """From few to all answers by the student; empty with fewer than 20 test prompts."""
    frontier_prompts: int = 0
    """Test prompts that it is estimated on."""
    promise: str
    """The guarantee in words."""
    shape: Shape | None = None
    """The requests that it holds for; None: not noted, and nothing holds."""
    depends: dict[str, str] = Field(default_factory=dict)
    """What it depends on: name -> value at calibration."""
    digest: str = ""
    """Of all that stands here: who edits the file by hand voids it."""
    created: str
    """ISO time, UTC."""

    def rows(self) -> list[tuple[str, str]]:
        """(name, value) pairs for a table."""
        part = "" if self.prefix_tokens is None else f" of the first {self.prefix_tokens} tokens"
        score = f"{self.score}{part}"
        rows = [
            ("guarantee", self.promise),
            ("error", self.spending),
            ("threshold", "none" if self.threshold is None else f"{self.threshold:.4f} on the score {score}"),
            ("served by the student", f"{self.coverage:.1%} of {self.labels:,} labeled prompts"),
            ("bad among them", f"{self.bad:,} of {self.served:,}"),
        ]
        if self.test is not None:
            share = self.test.served / max(1, self.test.prompts)
            text = f"{share:.1%} served, {self.test.bad:,} of {self.test.served:,} bad"
            if self.test.teacher_bad is not None:
                text += f"; the teacher's own answers: {self.test.teacher_bad:,} of {self.test.prompts:,} bad"
            rows.append(("on the test prompts", text))
        if self.apart is not None and self.apart.prompts:
            text = f"{self.apart.served:,} of {self.apart.prompts:,} served, {self.apart.bad:,} of those bad; nothing is promised"
            rows.append(("on those set apart", text))
        if self.judge:
            rows.append(("judge", self.judge))
        if self.left_out:
            rows.append(("left out", f"{self.left_out:,} validation prompts, which chose the checkpoint"))
        return rows
