"""Writes what a gateway has done to work/serve/NAME/gateway.json every few seconds, for `distil status` and the doctor."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

from distil.errors import DistilError
from distil.ids import now
from distil.progress import say
from distil.runs.jsonl import write_json
from distil.runs.processes import this_process
from distil.runs.schemas.gateway_state import GatewayState, LiveFigures
from distil.serve.certificate.reasons import BY_CONFIDENCE
from distil.serve.gateway import Gateway
from distil.serve.live.auditor import Auditor
from distil.serve.live.drift import Drift
from distil.serve.live.shadow import Shadow
from distil.serve.metrics import total
from distil.serve.served import Served

EVERY_S = 10.0


class Heartbeat:
    """Watches one gateway."""

    def __init__(
        self,
        gateway: Gateway,
        path: Path,
        auditor: Auditor | None = None,
        drift: Drift | None = None,
        shadow: Shadow | None = None,
    ) -> None:
        self._gateway, self._path, self._auditor, self._drift, self._shadow = gateway, path, auditor, drift, shadow
        self._reasons: Counter[str] = Counter()
        self._started = now("seconds")
        self._task: asyncio.Task[None] | None = None
        self._told = False

    async def start(self) -> None:
        """Writes at once, and then every EVERY_S."""
        self._started = now("seconds")
        await self._write(stopped=False)
        self._task = asyncio.create_task(self._beat())

    async def stop(self) -> None:
        """Writes the last state."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._write(stopped=True)

    def watch(self, served: Served) -> None:
        """Counts one answered request."""
        self._reasons[str(served.decision.reason)] += 1

    def figures(self) -> dict[str, float]:
        """Nothing that /metrics does not have."""
        return {}

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(EVERY_S)
            await self._write(stopped=False)

    async def _write(self, *, stopped: bool) -> None:
        state = self._state(stopped=stopped)
        try:
            await asyncio.to_thread(write_json, self._path, state.model_dump(mode="json"))
        except DistilError as error:  # a full disk ends nothing here
            if not self._told:
                say(f"distil serve: {error}")
            self._told = True

    def _state(self, *, stopped: bool) -> GatewayState:
        gateway, requests = self._gateway, self._gateway.metrics.requests
        return GatewayState(
            student=gateway.name,
            **this_process()._asdict(),
            mode=gateway.policy.mode,
            threshold=None if gateway.policy.closed else gateway.policy.threshold,
            started=self._started,
            updated=now("seconds"),
            stopped=stopped,
            by_student=total(requests, answered_by="student"),
            by_teacher=total(requests, answered_by="teacher"),
            eligible=sum(self._reasons[str(reason)] for reason in BY_CONFIDENCE),
            errors=total(gateway.metrics.errors),
            reasons=dict(self._reasons),
            live=None if self._auditor is None else live_figures(self._auditor),
            drift=[] if self._drift is None else self._drift.words(),
            shadow=None if self._shadow is None else self._shadow.words(),
        )


def live_figures(auditor: Auditor) -> LiveFigures:
    """What the audits say now."""
    state = auditor.state
    low, high = state.interval()
    return LiveFigures(
        audits=state.audits,
        bad=state.bad,
        error=state.error,
        low=low,
        high=high,
        promised=state.terms.risk,
        state=state.word,
        alarm_at=state.alarm_at,
        openings=state.openings,
        lost=auditor.dropped + auditor.failed + auditor.unlabeled,
        usd=auditor.usd,
    )
