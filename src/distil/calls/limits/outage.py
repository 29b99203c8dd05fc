"""What a fault of one request means for all others to the same teacher: go on, pause, or stop the run, and why.

Only decides and words it: it sends nothing and writes nothing. One per teacher.
"""

from __future__ import annotations

from collections.abc import Callable

from distil.calls.config import TeacherConfig
from distil.calls.faults import Fault, ProviderDown, QuotaExhausted
from distil.calls.limits.gate import AdmissionGate
from distil.calls.providers.catalog import about_key
from distil.errors import DistilError, UserError

TRIPS_AFTER = 10
FIRST_PAUSE_S = 1.0
MAX_PAUSE_S = 30.0
GIVE_UP_S = 300.0
"""Seconds without any success after which the run stops."""
UNREACHABLE_S = 1.0
"""No address has ever taken a connection: a wrong address, no network, a server that is not started."""
CUT_S = 10.0
"""Connections are taken and cut before any reply: a server that is starting, or one that does not speak HTTP."""
MAX_ALIKE = 20
"""Refusals with the same message, and no answer ever: the settings are refused, not one prompt."""
MAX_ALIKE_KNOWN = 500
"""The same for a model that has answered in an earlier run: there it may be that many bad prompts."""
MAX_DENIED = 20
"""Refusals of the key or the model in a row. Fewer, beside answers, belong to their prompts: moderation, a firewall."""
GO_ON = "every answer is kept, and the same command continues from here."


class Breaker:
    """When everything fails: first pause and try single requests, then give up. One success closes it.

    Refusals do not trip it, but a provider that refuses everything for minutes is as good as down.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._in_a_row = 0
        self._failing_since: float | None = None
        self._paused_until = 0.0
        self._pause_s = FIRST_PAUSE_S
        self.open = False
        """Everything fails now: single requests are let through as a test."""

    def success(self) -> None:
        """An attempt brought a reply that shows the provider at work."""
        self._in_a_row = 0
        self._failing_since = None
        self._pause_s = FIRST_PAUSE_S
        self.open = False

    def failure(self, sent_at: float, *, refused: bool = False) -> float | None:
        """An attempt failed in a way that may pass. Returns the seconds for which nothing should be sent, or None."""
        now = self._clock()
        if self._failing_since is None:
            self._failing_since = now
        if refused:
            return None
        self._in_a_row += 1
        # What was sent before the end of the pause says nothing about how things are after it.
        if (self.open and sent_at < self._paused_until) or self._in_a_row < TRIPS_AFTER:
            return None
        self.open = True
        pause, self._pause_s = self._pause_s, min(self._pause_s * 2, MAX_PAUSE_S)
        pause = min(pause, max(self._failing_since + GIVE_UP_S - now, 0.0))
        self._paused_until = now + pause
        return pause

    @property
    def given_up(self) -> bool:
        """Nothing has succeeded for `GIVE_UP_S`."""
        return self._failing_since is not None and self._clock() - self._failing_since >= GIVE_UP_S


class OutagePolicy:
    """`answered` and `fault` after each attempt; `fault` returns the error that ends the run, or None.

    known: the ledger has answers of this model; local: it answers in this process.
    """

    def __init__(
        self, config: TeacherConfig, gate: AdmissionGate, clock: Callable[[], float], *, known: bool, local: bool
    ) -> None:
        self.breaker = Breaker(clock)
        self._config = config
        self._gate = gate
        self._clock = clock
        self._known = known
        self._local = local
        self._worked = False
        self._reached = local
        self._unreached_since: float | None = None
        self._last_message = ""
        self._alike = 0
        self._answered = False
        self._denied = 0

    def reached(self) -> None:
        """A server replied, whatever it said."""
        self._reached = True

    def worked(self) -> None:
        """There is an answer under these settings, now or from an earlier run."""
        self._worked = True

    def answered(self) -> None:
        """An answer came."""
        self._worked = self._answered = True
        self._denied = 0
        self.breaker.success()
        self._gate.try_all()

    def fault(self, fault: Fault, sent_at: float, *, silent: bool = False, taken: bool = False) -> DistilError | None:
        """Pauses the gate where that helps. silent: no replica takes connections; taken: it was connected, then cut."""
        model = self._config.model
        if fault.kind == "quota":
            return QuotaExhausted(f"{model}: {fault.message} Everything answered so far is kept.")
        if fault.kind in ("auth", "not_found"):
            return self._denial(fault)
        if fault.kind == "filtered":
            self.breaker.success()
            return None
        if fault.kind in ("bad_request", "broken_off"):
            return self._refused(fault)
        if fault.kind == "connection" and silent and not self._reached:
            error = self._unreachable(fault, sent_at, CUT_S if taken else UNREACHABLE_S)
            if error is not None:
                return error
        pause = self.breaker.failure(sent_at, refused=fault.refusal)
        if pause is not None:
            self._gate.try_one(pause)
        return self._given_up(fault)

    def _denial(self, fault: Fault) -> UserError | None:
        """Of the key or the model, or only of this prompt? Of this prompt, as long as others are answered or on their way.

        A 401 or a 404 of a model that has never answered leaves no doubt.
        """
        self.breaker.success()
        self._denied += 1
        answers = self._answered or self._known or self._worked
        if self._denied < MAX_DENIED and (self._answered or ((answers or fault.doubtful) and not self._gate.idle)):
            return None
        about = f" {about_key(self._config)}".rstrip() if fault.kind == "auth" else ""
        rest = f" The last {self._denied} requests were refused so; {GO_ON}" if self._answered else ""
        return UserError(f"{self._config.model}: {fault.message}{about}{rest}")

    def _refused(self, fault: Fault) -> UserError | None:
        """One refused request is one bad prompt; all refused with the same message means that the settings are wrong."""
        self.breaker.success()
        said = fault.kind if fault.kind == "broken_off" else fault.message  # its message quotes the answer
        self._alike = self._alike + 1 if said == self._last_message else 1
        self._last_message = said
        limit = MAX_ALIKE_KNOWN if self._known else MAX_ALIKE
        if self._worked or self._local or self._alike < limit:
            return None
        what = "answers nothing whole" if fault.kind == "broken_off" else "refuses every request"
        return UserError(f"{self._config.model} {what}: {fault.message}")

    def _unreachable(self, fault: Fault, sent_at: float, patience_s: float) -> UserError | None:
        """A server that never answered is not an outage to wait for; for one that did, the breaker waits."""
        if self._unreached_since is None:
            self._unreached_since = sent_at
        if self._clock() - self._unreached_since < patience_s:
            return None
        return UserError(
            f"{self._config.model} can't be reached: {fault.message}. Check the network (and HTTPS_PROXY), the "
            "address in distil.yaml, and that a server of your own is running; then run again, nothing is lost."
        )

    def _given_up(self, fault: Fault) -> ProviderDown | None:
        model, wait = self._config.model, fault.retry_after_s
        if wait is not None and wait > GIVE_UP_S:
            return ProviderDown(f"{model} asks to wait {wait:,.0f} s: {fault.message} The run stops here; {GO_ON}")
        if not self.breaker.given_up:
            return None
        minutes = GIVE_UP_S / 60
        if fault.kind == "shed":
            return ProviderDown(
                f"The flex tier of {model} has had no room for {minutes:.0f} minutes ({fault.message}) Run again later; or "
                "pay the standard price with `--set collect.tier=standard`, or only for what finds no room with "
                f"`--set collect.flex_full=standard`. Until then {GO_ON}"
            )
        return ProviderDown(
            f"{model} has not answered for {minutes:.0f} minutes: {fault.message} The run stops here; {GO_ON}"
        )
