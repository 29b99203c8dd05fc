"""Whether an answer in production is bad: by the rule of the calibration, with the teacher's answer to the same request."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from distil.endings import ending
from distil.errors import UserError
from distil.records import Example, Message
from distil.runs.schemas.calibration import Calibration
from distil.serve.calibration.acceptance import Bad, Given, Rule, Similarity, bad_answers, choose_rule
from distil.serve.wire import ChatReply, ChatRequest

Label: TypeAlias = Callable[[ChatRequest, ChatReply, ChatReply], bool | None]
"""(request, the student's answer, the teacher's) -> whether the student's is bad; None where that can't be said."""


class NoRule(UserError):
    """The answers can't be labeled as the calibration did it."""


def rule_of(calibration: Calibration, labeled: Sequence[Example]) -> Rule:
    """The rule that a calibration chose for its labels. Raises NoRule when they are others now, or had references."""
    by: Bad = calibration.bad_by  # type: ignore[assignment]
    if by == "reference":
        raise NoRule(
            "The threshold was found with references, and requests have none: the teacher's answer is another measure, so the "
            "served error is not watched."
        )
    try:
        rule = choose_rule(labeled, by, calibration.goal)
    except UserError as error:
        raise NoRule(str(error)) from None
    if rule.sentence() != calibration.compared:
        raise NoRule(
            f"The validation prompts have changed since the calibration ({calibration.compared}; now {rule.sentence()}), so the "
            "served error is not watched."
        )
    return rule


def labeler(rule: Rule, similarity: Similarity | None) -> Label:
    """The label of single answers. It may take as long as `similarity` does."""

    def label(request: ChatRequest, student: ChatReply, teacher: ChatReply) -> bool | None:
        if ending(teacher.finish_reason) != "ok":  # no measure: it was cut off or withheld
            return None
        target = Message(role="assistant", content=teacher.text, tool_calls=teacher.tool_calls or None)
        example = Example(
            id="", prompt_id="", answer_id=None, messages=[*request.messages, target], split="test", tools=request.tools
        )
        whole = ending(student.finish_reason) not in ("cut", "fault")
        return bad_answers(rule, [Given(example, student.text, student.tool_calls or (), whole)], similarity)[0]

    return label
