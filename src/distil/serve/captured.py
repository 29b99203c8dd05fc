"""One line of work/serve/captured.jsonl: a request that the teacher answered, for the next training round.

In the format that `prompts.path` reads ({"messages": ...}); what else is known is under `captured`, and `distil collect
--from-gateway` reads it there.
"""

from __future__ import annotations

from distil.ids import now
from distil.serve.fallback import named_sampling
from distil.serve.served import Served
from distil.serve.wire import ChatReply


def captured_line(
    served: Served, teacher: ChatReply, model: str, *, probability: float = 1.0, share: float = 0.0
) -> dict[str, object]:
    """The line for a request with the teacher's answer to it.

    model: the teacher's name. probability: with which this request was chosen to be captured; share: the smallest such
    probability, so that requests kept with share / probability are a fair sample of the traffic.
    """
    request, student = served.request, served.student
    line: dict[str, object] = {"messages": [m.to_wire() for m in request.messages]}
    if request.tools:
        line["tools"] = request.tools
    if request.tool_choice is not None:
        line["tool_choice"] = request.tool_choice
    if request.response_format:
        line["response_format"] = request.response_format
    line["captured"] = {
        "at": now("seconds"),
        "id": served.id,
        "reason": served.decision.reason,
        "confidence": served.confidence,
        "student": None if student is None else student.text,
        "teacher": teacher.text,
        **served.student_id._asdict(),
        "model": model,
        "call": teacher.call_id,
        "finish_reason": teacher.finish_reason,
        "sampling": named_sampling(request),
        "probability": probability,
        "share": share,
    }
    return line
