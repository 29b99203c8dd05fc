"""Whether an answer in production is bad: by the rule of the calibration, with the teacher's answer to the same request."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np

from distil.endings import ending
from distil.errors import UserError
from distil.records import Example, Message, Prediction
from distil.runs.schemas.calibration import Calibration
from distil.serve.calibration.acceptance import Bad, Rule, Similarity, bad_answers, choose_rule
from distil.serve.calibration.confidence import confidence
from distil.serve.calibration.learn_then_test import group_index
from distil.serve.calibration.scored import Scored, as_reply
from distil.serve.wire import ChatReply, ChatRequest
from distil.stats.bounded import units_of, upper

Label: TypeAlias = Callable[[ChatRequest, ChatReply, ChatReply], bool | None]
"""(request, the student's answer, the teacher's) -> whether the student's is bad; None where that can't be said."""


INSTEAD = {"reference": "references, which requests lack", "judge": "a judge, which audits do not ask"}
"""What calibrations were labeled by that audits can't be, and why."""


class NoRule(UserError):
    """The answers can't be labeled as the calibration did it."""


class Measure(NamedTuple):
    """What audits are compared by, and with."""

    rule: Rule
    risk: float
    """Largest share of bad answers by this rule that is in keeping with the calibration."""
    note: str = ""
    """What a person should know of it."""


def measure_of(
    calibration: Calibration,
    labeled: Sequence[Example],
    predictions: Iterable[Prediction],
    similarity: Similarity | None,
) -> Measure:
    """The rule and the risk of a calibration; of one by references, which requests lack, or by a judge, which would cost money at
    each audit, the teacher's agreement instead.

    labeled, predictions: its prompts, and the student's answers to them. Raises NoRule when the prompts are others now.
    """
    by: Bad = calibration.bad_by  # type: ignore[assignment]
    try:
        if by in INSTEAD:
            return _agreement(calibration, labeled, predictions, similarity)
        rule = choose_rule(labeled, by, calibration.goal)
    except NoRule:
        raise
    except UserError as error:
        raise NoRule(str(error)) from None
    if rule.sentence() != calibration.compared:
        raise NoRule(
            f"The validation prompts have changed since the calibration ({calibration.compared}; now {rule.sentence()}), so the "
            "served error is not watched."
        )
    _require(rule, similarity)
    return Measure(rule, calibration.risk)


def _agreement(
    calibration: Calibration,
    labeled: Sequence[Example],
    predictions: Iterable[Prediction],
    similarity: Similarity | None,
) -> Measure:
    """How often the answers that the student would have given differ from the teacher's: an upper bound at the confidence."""
    rule = choose_rule([example.model_copy(update={"reference": None}) for example in labeled])
    _require(rule, similarity)
    replies = {one.prompt_id: as_reply(one) for one in predictions}
    rows = [(example, replies[example.prompt_id]) for example in labeled if example.prompt_id in replies]
    scores = [confidence(reply, calibration.score, calibration.prefix_tokens) or 0.0 for _, reply in rows]
    scored = Scored([example for example, _ in rows], [reply for _, reply in rows], scores)
    kept, bad = scored.only([score >= (calibration.threshold or 0.0) for score in scores]).judged(rule, similarity)
    if not bad:
        raise NoRule("None of the calibrated answers is there to compare with, so the served error is not watched.")
    values = np.array(bad, dtype=np.float64)
    units = units_of(values, np.ones_like(values), group_index(kept.groups))
    risk = min(0.95, max(calibration.risk, upper(units, 1 - calibration.confidence, (1.0, 1.0), 1.0)))
    note = (
        f"The threshold was found with {INSTEAD[calibration.bad_by]}: audits watch whether the student still agrees with the "
        f"teacher as it did then ({sum(bad)} of {len(bad)} were {rule.sentence()}; at most {risk:.1%} are in keeping with that)."
    )
    return Measure(rule, risk, note)


def _require(rule: Rule, similarity: Similarity | None) -> None:
    if rule.kind == "prose" and similarity is None:
        raise NoRule("The answers are prose, and no similarity is at hand (pip install 'distil[evaluate]').")


def labeler(rule: Rule, similarity: Similarity | None) -> Label:
    """The label of single answers. It may take as long as `similarity` does."""

    def label(request: ChatRequest, student: ChatReply, teacher: ChatReply) -> bool | None:
        if ending(teacher.finish_reason) != "ok":  # no measure: it was cut off or withheld
            return None
        target = Message(role="assistant", content=teacher.text, tool_calls=teacher.tool_calls or None)
        example = Example(
            id="", prompt_id="", answer_id=None, messages=[*request.messages, target], split="test", tools=request.tools
        )
        return bad_answers(rule, Scored([example], [student], [0.0]).given(), similarity)[0]

    return label
