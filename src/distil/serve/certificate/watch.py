"""Watches whether the server behind `serve.engine` still runs the model that was calibrated: at each start and at intervals.

A difference at the start refuses a calibrated start. While the gateway runs it switches the student off, and on again when the
calibrated model is back.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence

from distil.errors import UserError
from distil.progress import say
from distil.runs.schemas.canary import Canary
from distil.serve.certificate.canary import ask_again, difference, tolerance
from distil.serve.certificate.server_version import server_version
from distil.serve.engines.base import Engine
from distil.terminal import show_exception

LOOK_S = 5.0
"""How often it looks whether the server has failed in between: one that was replaced mostly has."""
AGAIN_S = 60.0
"""Between two comparisons that failures caused."""


class CanaryWatch:
    """Compares an engine with the stored canaries. `on_change` gets what differs, or None when the calibrated model is back."""

    def __init__(
        self,
        name: str,
        canaries: Sequence[Canary],
        *,
        base: str,
        version: str | None = None,
        key: str | None = None,
        minutes: float = 15.0,
    ) -> None:
        """base: the server's URL with /v1; version: of the server at calibration; minutes: 0 = at the start only."""
        self._name, self._canaries, self._seconds = name, canaries, minutes * 60
        self._base, self._version, self._key = base, version, key
        self._task: asyncio.Task[None] | None = None
        self.changed: str | None = "it was not compared yet"
        """What differs from the calibrated model; None: nothing."""
        self.difference: float | None = None
        """Mean nats per token at the last comparison."""
        self.checks = 0
        """Comparisons so far."""

    async def start(self, engine: Engine, on_change: Callable[[str | None], None]) -> None:
        """Compares once, then at intervals. Raises UserError where the model is another one."""
        await self.compare(engine)
        if self.changed is not None and self.difference is not None:
            raise UserError(
                f"The server behind serve.engine is not the one that {self._name!r} was calibrated with: {self.changed}. Start "
                f"the calibrated model there, or run `distil calibrate {self._name}` again."
            )
        on_change(self.changed)
        self._task = asyncio.create_task(self._run(engine, on_change))

    async def stop(self) -> None:
        """Ends at once."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def figures(self) -> dict[str, float]:
        """For /metrics."""
        found = {"distil_student_changed": float(self.changed is not None), "distil_canary_checks_total": self.checks}
        return found | ({} if self.difference is None else {"distil_canary_difference": self.difference})

    async def compare(self, engine: Engine) -> bool:
        """Sets `changed`; False where the server did not answer, so that nothing is known."""
        found = difference(self._canaries, await ask_again(engine, self._canaries))
        version = await server_version(self._base, self._key)
        if found is None:
            return False
        self.checks += 1
        self.difference, allowed = found, tolerance(self._canaries)
        self.changed = None
        if found > allowed:
            self.changed = (
                f"its answers to {len(self._canaries)} canary prompts differ by {found:.3f} nats a token, where restarts, "
                f"batches and other machines stay below {allowed:.3f}: other weights, quantization or chat template"
            )
        elif version and self._version and version != self._version:
            self.changed = f"it is {version}, and was {self._version} at calibration"
        return True

    async def _run(self, engine: Engine, on_change: Callable[[str | None], None]) -> None:
        clock = asyncio.get_running_loop().time
        failures, compared, known = _failures(engine), clock(), self.changed is None
        while self._seconds > 0 or not known:
            await asyncio.sleep(LOOK_S)
            waited = clock() - compared
            due = self._seconds > 0 and waited >= self._seconds
            if not due and known and (_failures(engine) == failures or waited < AGAIN_S):
                continue
            before = self.changed
            try:
                known = await self.compare(engine)
            except Exception as error:  # whatever a server says, the watch goes on
                show_exception(type(error), error, error.__traceback__)
                known = False
            failures, compared = _failures(engine), clock()
            if self.changed != before:
                self._tell(on_change)

    def _tell(self, on_change: Callable[[str | None], None]) -> None:
        on_change(self.changed)
        if self.changed is None:
            say("distil serve: the calibrated model answers again behind serve.engine, and the student with it")
        else:
            say(f"distil serve: the student is switched off, the teacher answers. Behind serve.engine, {self.changed}")


def _failures(engine: Engine) -> float:
    return engine.gauges().get("distil_engine_failures_total", 0.0)
