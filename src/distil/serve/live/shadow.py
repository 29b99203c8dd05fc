"""A retrained student in the shadow of the one that serves: compared on the same requests, and put in its place when no worse.

It answers, off the reply's path, requests that have the teacher's answer and belong to the fair sample of the traffic: audits,
and as large a random share of the fallbacks. Two questions, both as test martingales that may be looked at all the time:
quality: does it give clients more bad answers, by more than QUALITY of all requests; coverage: does it pass more requests on to
the teacher, by more than COVERAGE. Only when both are refuted at `delta` does it take over, so a worse student takes over with a
chance of at most delta. It serves by its own calibration, and its own audits begin with it: when their alarm goes off, the old
student comes back.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

from distil.errors import DistilError
from distil.ids import content_id
from distil.progress import say
from distil.serve.certificate.shape import tokens_of
from distil.serve.engines.base import Engine
from distil.serve.gateway import Gateway
from distil.serve.live.auditor import Auditor, Role
from distil.serve.policy import Policy
from distil.serve.requirement import meets_requirement
from distil.serve.served import Served, StudentId
from distil.serve.wire import ChatReply
from distil.stats.betting import LowTest
from distil.terminal import show_exception

QUALITY, COVERAGE = 0.01, 0.02
WAITING = 64


class Shadow:
    """Watches a gateway and its auditor. `role`: what the auditor watches once the new student serves."""

    def __init__(
        self,
        gateway: Gateway,
        auditor: Auditor,
        name: str,
        engine: Engine,
        policy: Policy,
        role: Role,
        *,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.name, self.compared, self.failed, self.took_over = name, 0, 0, False
        """How many requests were compared, or could not be; and whether it is in place."""
        self._gateway, self._auditor, self._chance = gateway, auditor, chance
        self._engine, self._policy, self._role = engine, policy, role
        self._delta = role.state.terms.delta
        self._quality, self._coverage = LowTest((1 + QUALITY) / 2), LowTest((1 + COVERAGE) / 2)
        self._bad, self._given = [0.0, 0.0], [0.0, 0.0]
        self._weight, self._busy = 0.0, 0
        self._old: tuple[Engine, Policy, StudentId, Role] | None = None
        self._queue: asyncio.Queue[tuple[Served, ChatReply, bool, float]] = asyncio.Queue(WAITING)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Loads the new student, and begins. Raises UserError when it can't be loaded."""
        await self._engine.start()
        self._auditor.on_label = self.audited
        self._task = asyncio.create_task(self._work())

    async def stop(self) -> None:
        """Ends both the comparison and the student that does not serve."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        idle = self._old[0] if self._old is not None else self._engine
        await idle.stop()

    def watch(self, served: Served) -> None:
        """Takes a fallback of the fair sample."""
        if served.decision.by == "student" or served.teacher is None or self.took_over:
            return
        if self._chance() < self._auditor.least:
            self._put(served, served.teacher, bad=False, weight=1.0)

    def audited(self, served: Served, teacher: ChatReply, bad: bool, weight: float) -> None:
        """Takes an audited answer of the student that serves."""
        if served.decision.by == "student" and not self.took_over:
            self._put(served, teacher, bad=bad, weight=weight)

    @property
    def waiting(self) -> int:
        """Requests that are to be compared."""
        return self._queue.qsize() + self._busy

    def _put(self, served: Served, teacher: ChatReply, *, bad: bool, weight: float) -> None:
        if self._queue.full():
            self.failed += 1
        else:
            self._queue.put_nowait((served, teacher, bad, weight))

    async def _work(self) -> None:
        while True:
            served, teacher, bad, weight = await self._queue.get()
            self._busy = 1
            try:
                await self._compare(served, teacher, bad, weight)
            except Exception as error:  # the student in the shadow harms nobody
                self.failed += 1
                if self.failed == 1 and not isinstance(error, DistilError):
                    show_exception(type(error), error, error.__traceback__)
            if not self.took_over and min(self._quality.evidence, self._coverage.evidence) >= 1 / self._delta:
                self._swap()
            self._busy = 0

    async def _compare(self, served: Served, teacher: ChatReply, bad: bool, weight: float) -> None:
        request, gives, new_bad = served.request, False, False
        if self._policy.before(request) is None:
            reply = await self._engine.answer(request)
            decision = self._policy.after(self._policy.confidence(reply), tokens_of(reply))
            gives = decision.by == "student" and meets_requirement(request, reply)
            if gives:
                label = await asyncio.to_thread(self._role.label, request, reply, teacher)
                if label is None:
                    return
                new_bad = label
        gave = served.decision.by == "student"
        self._quality.add((1 + new_bad - bad) / 2, weight)
        self._coverage.add((1 + gave - gives) / 2, weight)
        for sums, values in ((self._bad, (bad, new_bad)), (self._given, (gave, gives))):
            sums[0], sums[1] = sums[0] + weight * values[0], sums[1] + weight * values[1]
        self._weight += weight
        self.compared += 1

    def _swap(self) -> None:
        """Puts the new student in place between two requests; running ones end with the old one."""
        gateway, auditor = self._gateway, self._auditor
        self._old = (gateway.student, gateway.policy, gateway.student_id, auditor.role)
        self.took_over = True
        gateway.student, gateway.policy = self._engine, self._policy
        gateway.student_id = StudentId(self.name, content_id("fp", self._engine.identity))
        auditor.become(self._role, on_alarm=self._back)
        say(f"distil serve: {self.words()} It serves now. To keep it after a restart: distil serve {self.name}")

    def _back(self) -> None:
        """The alarm of the new student has gone off: the old one serves again."""
        if self._old is None:
            return
        gateway, (engine, policy, student_id, role) = self._gateway, self._old
        self._old = None
        gateway.student, gateway.policy, gateway.student_id = engine, policy, student_id
        self._auditor.become(role)
        say(f"distil serve: the alarm of {self.name} has gone off; the student before it serves again.")

    def words(self) -> str:
        """The comparison in a sentence."""
        if not self.compared:
            return f"{self.name} in the shadow: nothing compared yet."
        bad, given = ([value / self._weight for value in sums] for sums in (self._bad, self._given))
        found = "no worse" if self.took_over else "not decided yet"
        return (
            f"{self.name} in the shadow: {self.compared:,} requests compared; bad answers of all requests {bad[1]:.1%} against "
            f"{bad[0]:.1%} (at most {QUALITY:.0%} more), answered by the student {given[1]:.0%} against {given[0]:.0%} "
            f"(at most {COVERAGE:.0%} fewer): {found} (evidence {min(self._quality.evidence, 9_999):.1f} and "
            f"{min(self._coverage.evidence, 9_999):.1f} of {1 / self._delta:.0f})."
        )

    def figures(self) -> dict[str, float]:
        """For /metrics."""
        return {"distil_shadow_compared_total": self.compared, "distil_shadow_took_over": float(self.took_over)}
