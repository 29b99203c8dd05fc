"""What a fault of one request means for everybody else who asks the same teacher: go on, pause, or stop the run, and why.

Only decides and words it: it sends nothing and writes nothing. One per teacher, made and asked by teacher.py.
"""

from __future__ import annotations

from collections.abc import Callable

from distil.calls.config import TeacherConfig
from distil.calls.faults import Fault, ProviderDown, QuotaExhausted
from distil.calls.limits.breaker import Breaker
from distil.calls.limits.gate import AdmissionGate
from distil.calls.providers.catalog import key_variable
from distil.errors import DistilError, UserError

REFUSALS = ("rate_limit", "overload", "shed")
UNREACHABLE_S = 1.0
"""No address has ever taken a connection: a wrong address, no network, a server that is not started."""
CUT_S = 10.0
"""Connections are taken and cut before any reply: a server that is starting, or something that speaks no HTTP."""
MOST_ALIKE = 20
"""Refused with the same words so often, and nothing was ever answered: it is the settings that are refused."""
MOST_ALIKE_KNOWN = 500
"""The same for a model that has answered in an earlier run: there it may be as many bad prompts."""
GO_ON = "everything that was answered is kept, and running the same command again goes on from here."


class Reaction:
    """`answered` and `fault` after each attempt; `fault` returns the error that ends the run, or None.

    known: the ledger has answers of this model; local: it answers in this process.
    """

    def __init__(
        self,
        config: TeacherConfig,
        gate: AdmissionGate,
        clock: Callable[[], float],
        give_up_s: float,
        *,
        known: bool,
        local: bool,
    ) -> None:
        self.breaker = Breaker(clock, give_up_s)
        self._config = config
        self._gate = gate
        self._clock = clock
        self._known = known
        self._local = local
        self._worked = False
        self._reached = local
        self._unreached_since: float | None = None
        self._last_words = ""
        self._alike = 0

    def reached(self) -> None:
        """A server replied, whatever it said."""
        self._reached = True

    def worked(self) -> None:
        """There is an answer under these settings, now or from an earlier run."""
        self._worked = True

    def answered(self) -> None:
        """An answer came."""
        self._worked = True
        self.breaker.success()
        self._gate.try_all()

    def fault(self, fault: Fault, sent_at: float, *, silent: bool = False, taken: bool = False) -> DistilError | None:
        """Pauses the gate where that helps. silent: no replica is there; taken: there was a connection, and it was cut."""
        model = self._config.model
        if fault.kind == "quota":
            return QuotaExhausted(f"{model}: {fault.message} Everything answered so far is kept.")
        if fault.kind == "auth":
            return UserError(f"{model}: {fault.message} {self._about_key()}")
        if fault.kind == "not_found":
            return UserError(f"{model}: {fault.message}")
        if fault.kind == "bad_request":
            return self._refused(fault)
        if fault.kind == "connection" and silent and not self._reached:
            error = self._unreachable(fault, sent_at, CUT_S if taken else UNREACHABLE_S)
            if error is not None:
                return error
        pause = self.breaker.failure(sent_at, refused=fault.kind in REFUSALS)
        if pause is not None:
            self._gate.try_one(pause)
        return self._given_up(fault)

    def _refused(self, fault: Fault) -> UserError | None:
        """One request that is refused is one bad prompt; when all are refused with the same words, it is the settings."""
        self.breaker.success()
        self._alike = self._alike + 1 if fault.message == self._last_words else 1
        self._last_words = fault.message
        most = MOST_ALIKE_KNOWN if self._known else MOST_ALIKE
        if self._worked or self._local or self._alike < most:
            return None
        return UserError(f"{self._config.model} refuses every request: {fault.message}")

    def _about_key(self) -> str:
        variable = key_variable(self._config)
        if variable is None:
            return (
                "No key was sent, because this teacher has no `api_key_env` in distil.yaml: set it to the name of the "
                "environment variable that holds the key."
            )
        return f"The key was read from {variable}."

    def _unreachable(self, fault: Fault, sent_at: float, patience_s: float) -> UserError | None:
        """A server that never answered anything is no outage to wait for; one that did is waited for by the breaker."""
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
        if wait is not None and wait > self.breaker.give_up_s:
            return ProviderDown(f"{model} asks to wait {wait:,.0f} s: {fault.message} The run stops here; {GO_ON}")
        if not self.breaker.given_up:
            return None
        minutes = self.breaker.give_up_s / 60
        if fault.kind == "shed":
            return ProviderDown(
                f"The flex tier of {model} has had no room for {minutes:.0f} minutes ({fault.message}) Run again later; or "
                "pay the standard price with `--set collect.tier=standard`, or only for what finds no room with "
                f"`--set collect.flex_full=standard`. Until then {GO_ON}"
            )
        return ProviderDown(
            f"{model} has not answered for {minutes:.0f} minutes: {fault.message} The run stops here; {GO_ON}"
        )
