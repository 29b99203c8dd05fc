"""Has the teacher answer a random share of what the student answered, after the reply is sent, and acts on what comes out.

Nothing here delays a reply: the queue is bounded, what does not fit into it is counted and dropped, and the teacher is asked
through the gateway's own `Fallback`, under its budget. Each label is on the disk (work/serve/audits.jsonl) before it counts.
Whether an audit gets its label must not depend on the answer's being bad: audits are labeled in the order of their requests.
"""

from __future__ import annotations

import asyncio
import random
import statistics
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from distil.errors import DistilError
from distil.ids import now
from distil.progress import say
from distil.runs.jsonl import append_record
from distil.runs.schemas.audits import Audit
from distil.serve.captured import captured_line
from distil.serve.certificate.reasons import Reason
from distil.serve.gateway import Gateway
from distil.serve.live.label import Label
from distil.serve.live.state import COMPARED, LiveState
from distil.serve.served import Served
from distil.serve.wire import Caller, ChatReply
from distil.terminal import show_exception

WAITING = 256
"""Audits that may wait for their label."""
AT_ONCE = 4
"""Of these, how many the teacher is asked at once."""
NEAR, FAR = 4 / 3, 2 / 3
"""Share of the audits of answers below and above the median confidence, relative to serve.audit: the errors are mostly below."""
MEDIAN_OF = 512
STOP_S = 5.0


class Chosen(NamedTuple):
    """An answer that is to be labeled."""

    served: Served
    role: Role
    probability: float
    weight: float
    threshold: float
    """In force."""
    requests: int
    """Answers that the student gave since the one chosen before."""
    teacher: asyncio.Task[ChatReply] | None
    """The teacher's answer, where it is still to come."""


@dataclass
class Role:
    """What is audited: one student with its certificate."""

    name: str
    """The student's."""
    state: LiveState
    label: Label


class Auditor:
    """Watches one gateway that serves with a certified threshold."""

    def __init__(
        self,
        gateway: Gateway,
        role: Role,
        path: Path,
        share: float,
        *,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.role, self.share = role, share
        self.dropped = self.failed = self.unlabeled = 0
        """Audits that did not fit into the queue; that the teacher did not answer; whose answers can't be compared."""
        self.usd = 0.0
        """What the teacher's answers to audits cost."""
        self.on_label: Callable[[Served, ChatReply, bool, float], None] | None = None
        """Called for each labeled answer: (request, the teacher's answer, bad, weight)."""
        self._gateway, self._path, self._chance = gateway, path, chance
        self._on_alarm: Callable[[], None] | None = None
        self._queue: asyncio.Queue[Chosen | None] = asyncio.Queue(WAITING)
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._confidences: deque[float] = deque(maxlen=MEDIAN_OF)
        self._median, self._since = 1.0, 0
        self._task: asyncio.Task[None] | None = None
        self._told, self._busy = False, 0
        self._asking: set[asyncio.Task[ChatReply]] = set()

    @property
    def state(self) -> LiveState:
        """What the audits of the student that serves have left."""
        return self.role.state

    def become(self, role: Role, on_alarm: Callable[[], None] | None = None) -> None:
        """Audits another student from now on. on_alarm: what happens on its alarm, in place of serve.on_alarm."""
        self.role, self._on_alarm, self._since = role, on_alarm, 0
        self._confidences.clear()
        self._median = 1.0
        self._apply()

    async def start(self) -> None:
        """Puts the gate where the audits so far have left it, and begins."""
        self._apply()
        self._task = asyncio.create_task(self._work())

    async def stop(self) -> None:
        """Labels what is waiting, as far as the teacher answers within a few seconds; the others are never labeled."""
        if self._task is None:
            return
        ending = asyncio.create_task(self._queue.put(None))
        await asyncio.wait({self._task}, timeout=STOP_S)
        for task in (ending, self._task, *self._asking):
            task.cancel()
        await asyncio.gather(ending, self._task, *self._asking, return_exceptions=True)

    def watch(self, served: Served) -> None:
        """Takes one answered request. Returns at once."""
        if served.confidence is None or served.student is None or served.student_id.name != self.role.name:
            return
        reason = served.decision.reason
        if reason == Reason.CONFIDENT:
            probability, weight = self._probability(served.confidence)
            self._note(served.confidence)
            self._since += 1
            if self._chance() < probability:
                self._choose(served, probability, weight)
        elif reason == Reason.ALARM and self._compares and self._chance() < COMPARED:
            self._choose(served, COMPARED, 1.0)

    @property
    def waiting(self) -> int:
        """Chosen answers without their label yet."""
        return self._queue.qsize() + self._busy

    @property
    def _compares(self) -> bool:
        return self.state.terms.on_alarm == "tighten"

    @property
    def least(self) -> float:
        """The smallest probability of an audit: so large is the fair sample of the traffic that audits are part of."""
        return self.share if self.share > 1 / NEAR else self.share * FAR

    def _probability(self, confidence: float) -> tuple[float, float]:
        """(probability of an audit, its weight). The median is that of earlier answers."""
        if self.share > 1 / NEAR:
            return self.share, 1.0
        near = confidence < self._median
        return self.share * (NEAR if near else FAR), FAR / NEAR if near else 1.0

    def _note(self, confidence: float) -> None:
        self._confidences.append(confidence)
        if self._since % 64 == 0:
            self._median = statistics.median(self._confidences)

    def _choose(self, served: Served, probability: float, weight: float) -> None:
        teacher = self._gateway.teacher
        if self._queue.full() or teacher is None or (served.teacher is None and teacher.down):
            self.dropped += 1
            return
        asked = None
        if served.teacher is None:
            asked = asyncio.create_task(self._ask(served))
            self._asking.add(asked)
            asked.add_done_callback(self._asking.discard)
        self._queue.put_nowait(
            Chosen(
                served,
                self.role,
                probability,
                weight,
                self.state.threshold,
                self._since,
                asked,
            )
        )
        self._since = 0

    async def _ask(self, served: Served) -> ChatReply:
        teacher = self._gateway.teacher
        assert teacher is not None
        async with self._slots:
            # at nobody's expense but the gateway's: a client's cap is for its own requests
            request = replace(served.request, caller=Caller(request_id=served.id))
            return await teacher.answer(request)

    async def _work(self) -> None:
        while (chosen := await self._queue.get()) is not None:
            self._busy = 1
            try:
                await self._take(chosen)
            except Exception as error:  # whatever an audit meets, the next one is labeled
                self.failed += 1
                self._since += chosen.requests
                if not self._told:
                    say(f"distil serve: an audit failed ({error}); further ones are counted in /metrics only")
                    if not isinstance(error, DistilError):
                        show_exception(type(error), error, error.__traceback__)
                self._told = True
            self._busy = 0

    async def _take(self, chosen: Chosen) -> None:
        served = chosen.served
        reply = served.teacher or (await chosen.teacher if chosen.teacher else None)
        assert reply is not None and served.student is not None and served.confidence is not None
        self.usd += reply.usd if served.teacher is None else 0.0
        self._capture(chosen, reply)
        bad = await asyncio.to_thread(chosen.role.label, served.request, served.student, reply)
        if bad is None:
            self.unlabeled += 1
            self._since += chosen.requests
            return
        audit = Audit(
            id=served.id,
            at=now("seconds"),
            student=chosen.role.name,
            fingerprint=served.student_id.fingerprint,
            certificate=chosen.role.state.terms.certificate,
            answered=served.decision.by,
            probability=chosen.probability,
            weight=chosen.weight,
            share=COMPARED if served.teacher is not None else self.share,
            confidence=served.confidence,
            threshold=chosen.threshold,
            risk=chosen.role.state.terms.risk,
            bad=bad,
            requests=chosen.requests,
        )
        await asyncio.to_thread(append_record, self._path, audit)
        event = chosen.role.state.add(audit)
        if event is not None and chosen.role is self.role:
            self._tell(event)
            self._apply()
            if event == "alarm" and self._on_alarm is not None:
                self._on_alarm()
        if self.on_label is not None:
            self.on_label(served, reply, bad, chosen.weight)

    def _capture(self, chosen: Chosen, reply: ChatReply) -> None:
        """Keeps an audited request with both answers; what the teacher answered itself is captured already."""
        gateway, served = self._gateway, chosen.served
        if served.teacher is None and gateway.capture is not None and gateway.teacher is not None:
            line = captured_line(served, reply, gateway.teacher.name, probability=chosen.probability, share=self.least)
            gateway.capture.add(line)

    def _apply(self) -> None:
        """Sets the gate: a new policy takes the place of the old one between two requests."""
        state, policy = self.state, self._gateway.policy
        self._gateway.policy = replace(policy, threshold=state.threshold, closed=state.closed, compares=self._compares)

    def _tell(self, event: str) -> None:
        state = self.state
        if event == "opened":
            say(
                f"distil serve: a tighter threshold ({state.threshold:.4f}) is certified on the answers since the alarm, and the "
                "student answers from there on."
            )
            return
        does = {
            "warn": "The student goes on answering (serve.on_alarm is warn).",
            "off": "The teacher answers everything until `distil calibrate` is run again.",
            "tighten": "The teacher answers everything until a tighter threshold is certified on the answers from now on.",
        }
        say(
            f"distil serve: ALARM: {state.bad} of {state.audits} audited answers of the student are bad, which refutes the "
            f"promised {state.terms.risk:.0%} at {1 - state.terms.delta:.0%} confidence. {does[state.terms.on_alarm]} Retrain "
            "with what was captured: distil collect --from-gateway, then distil run."
        )

    def figures(self) -> dict[str, float]:
        """For /metrics."""
        state = self.state
        low, high = state.interval()
        figures = {
            "distil_audits": state.audits,
            "distil_audits_bad": state.bad,
            "distil_live_error_low": low,
            "distil_live_error_high": high,
            "distil_alarm": float(state.alarm),
            "distil_audits_dropped_total": self.dropped,
            "distil_audits_failed_total": self.failed,
            "distil_audits_unlabeled_total": self.unlabeled,
            "distil_audits_usd_total": self.usd,
        }
        return figures if state.error is None else figures | {"distil_live_error": state.error}
