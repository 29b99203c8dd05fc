"""Answers that the gateway has paid for answer the project's questions: they are copied in the ledger, at no cost.

The gateway asks with the settings that its client names, and the ledger keeps answers by their whole request. A whole answer to
the same question is one of the teacher's answers, whatever limit of tokens the client named, so it is put under the key that
`distil collect` will look for. Left out: answers that were cut off or ended by the client's stop words, and such as were sampled
hotter than the teacher's own settings allow.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from distil.calls.config import TeacherConfig
from distil.calls.ledger.store import Ledger, Recorded
from distil.collect.ledger_view import LedgerView
from distil.collect.questions import Question
from distil.endings import ending
from distil.errors import UserError
from distil.records import Prompt, Record
from distil.runs.artifacts import Project
from distil.runs.schemas.gateway_prompts import GatewayPrompt, read_gateway_prompts

HOTTEST = 1.0
"""The temperature that providers sample at when none is named."""
TOGETHER = 500


class GatewayAnswers(Record):
    """What the ledger knows of the captured prompts."""

    copied: int
    """Answers that are new under the keys of this project's questions."""
    known: int
    """Questions that were answered already."""
    left_out: dict[str, int]
    """Why answers were not used -> how many."""

    def lines(self) -> list[str]:
        """Summary for a person."""
        lines = [f"Their answers: {self.copied:,} taken over at no cost, {self.known:,} were there already."]
        if self.left_out:
            reasons = ", ".join(f"{count:,} {why}" for why, count in self.left_out.items())
            lines.append(f"Not taken over, so `distil collect` asks again: {reasons}.")
        return lines


def take_answers(project: Project, teachers: Sequence[TeacherConfig], samples: int) -> GatewayAnswers:
    """Copies the teachers' answers to captured prompts in the ledger; repeated ones become samples, up to `samples`."""
    by_model = {teacher.model: teacher for teacher in reversed(teachers)}
    left_out = Counter[str]()
    wanted: dict[tuple[str, str], tuple[Prompt, list[str]]] = {}
    for one in read_gateway_prompts(project.gateway_prompts):
        why = _unusable(one, by_model)
        if why is not None:
            left_out[why] += 1
            continue
        calls = wanted.setdefault((one.teacher, one.prompt.id), (one.prompt, []))[1]
        calls.append(one.call_id)
    with Ledger(project.ledger) as ledger:
        copier = _Copier(LedgerView(ledger, teachers, project.root))
        for (model, _), (prompt, calls) in wanted.items():
            copier.copy(by_model[model], prompt, calls, samples)
        copier.flush()
    return GatewayAnswers(copied=copier.copied, known=copier.known, left_out=dict(left_out + copier.left_out))


def _unusable(one: GatewayPrompt, by_model: dict[str, TeacherConfig]) -> str | None:
    """Why the answer of a captured request can't be an answer of this project, or None."""
    if not one.call_id:
        return "without a call in the ledger"
    if one.teacher not in by_model:
        return "of a model that is not among the teachers now"
    if ending(one.finish_reason) != "ok":
        return "cut off or withheld"
    if one.sampling.get("stop"):
        return "ended by the client's stop words"
    temperature = one.sampling.get("temperature")
    hottest = max(HOTTEST, by_model[one.teacher].sampling.temperature)
    if isinstance(temperature, (int, float)) and temperature > hottest:
        return f"sampled at a temperature above {hottest:g}"
    return None


class _Copier:
    """Writes answers under new keys in groups, and counts."""

    def __init__(self, view: LedgerView) -> None:
        self._view = view
        self._waiting: list[Recorded] = []
        self.copied = self.known = 0
        self.left_out = Counter[str]()

    def copy(self, teacher: TeacherConfig, prompt: Prompt, calls: Sequence[str], samples: int) -> None:
        """The answers of one prompt, in the order of their calls."""
        left = list(dict.fromkeys(calls))
        for sample in range(samples):
            question = Question(0, prompt, teacher, sample)
            try:
                identity = self._view.identify(question.request())
            except UserError:
                self.left_out["of a kind that the teacher does not support"] += 1
                return
            known, _ = self._view.state(identity.key)
            if known is not None and known.status == "answered":
                self.known += 1
                left = [call for call in left if call != identity.key]
            elif left:
                self._take(question, identity.key, identity.body, left.pop(0))

    def _take(self, question: Question, key: str, body: bytes, call: str) -> None:
        stored = self._view.ledger.find(call)
        if stored is None or stored.reply is None or stored.call.status != "answered":
            self.left_out["pruned from the ledger"] += 1
            return
        self.copied += 1
        self._waiting.append(
            Recorded(
                key=key,
                purpose="import",
                model=question.teacher.model,
                request=body,
                reply=stored.reply,
                usage=stored.call.usage,
                endpoint=self._view.endpoint(question.teacher.model),
                sample=question.sample,
            )
        )
        if len(self._waiting) >= TOGETHER:
            self.flush()

    def flush(self) -> None:
        """Makes the answers so far durable."""
        if self._waiting:
            self._view.ledger.record(self._waiting)
            self._waiting = []
