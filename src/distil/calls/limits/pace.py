"""How fast a provider may be asked when it does not say: finds a hidden limit on requests at once, or on requests a second.

The law, from what a refusal (429) shows. Each request remembers how many were in flight when it was sent.
- No refusal yet: GROWTH more at once per answer (four times as many per round trip), up to the configured ceiling.
- Refused with n in flight: take it for a limit on concurrency, run at n - 1, and spread the sendings over the round trip.
- Refused again and again below a level that was accepted (or with nothing else in flight): a limit on concurrency can't do
  that, so it is the rate. At each
  refusal the provider's bucket is empty, so what was accepted between two refusals, divided by the time between them, is its
  rate. Run just below.
- One cut per burst: refusals of requests that were sent before the last cut say nothing new.
- Above a level that was refused, probe rarely: after a second, and twice as long after each probe that fails (60 s at most);
  a probe that works is followed by a larger one at once.
- Nothing at all is taken any more, not even single requests (block.py): one request at a time tries. If a 503 or 529 did it, it
  was an outage, and afterwards the last good level comes back within a few round trips. If a 429 did it, it was a limit per
  window, and what a window took, divided by its length, is the rate.
- Refusals that go on however slowly we ask are noise and not a limit: ignored for as long as their share stays what it was.
Additive increase and multiplicative decrease would pay a refusal for each round of steps; remembering the failing level does
not. Pure arithmetic on times that gate.py passes in: no clock, no sleeping.
"""

from __future__ import annotations

from typing import NamedTuple

from distil.calls.limits.block import ALONE, Block, Opened

START = 12
START_RATE = 60.0
# More at once for each answer while no refusal has come yet: four times as many per round trip.
GROWTH = 3
FIRST_HOLD_S = 1.0
MAX_HOLD_S = 60.0
OVERLOAD_FACTOR = 0.75
# Overloads that are a smaller share of the last fifty or so replies say nothing about speed.
RARE = 0.1
RECENT = 0.02
# After an outage, the first step back is this share of the last good level.
FIRST_STEP_BACK = 1 / 8
# A raised rate shows in a window's refusals only when the window is full.
WINDOWS_PER_STEP = 1.1
MAX_WINDOW_STEP = 0.06
MARGIN = 0.98
# Back from a rate that was refused: near one that was measured, and where there is only a guess.
FINE_CUT = 0.9
COARSE_CUT = 0.7
SPREAD = 1.1
# Contradictions within MEMORY_S after which a limit is taken to be on the rate.
CONTRADICTIONS = 3
# Of one run of refusals, so many count.
COUNTED_REPEATS = 2
MEMORY_S = 30.0
# A measurement over fewer accepted requests is too coarse.
MEASURED_OVER = 10
# So many refusals that no limit on the rate explains are noise.
STRANGE = 4.0
# Refusals sooner after a cut than this belong to the burst before it.
SETTLED_S = 0.5


class SentMark(NamedTuple):
    """What is remembered of a request while it is in flight."""

    sent_at: float
    in_flight: int
    """Requests in flight with it, itself included."""


class AdaptiveLimit:
    """The two learned limits: `limit` requests at once, and `rate` requests a second (None: not limited so far)."""

    def __init__(self, ceiling: int, start: int = START) -> None:
        self.ceiling = ceiling
        self.limit = float(min(start, ceiling))
        self.rate: float | None = None
        self._found = False
        self._latency_s: float | None = None
        self._step = 1.0
        self._hold_s = FIRST_HOLD_S
        self._probe_at = 0.0
        self._probing_since: float | None = None
        self._cut_at = -1.0
        self._accepted_at_once = 0
        self._contradictions: list[float] = []
        self._first_sent_at: float | None = None
        self._sent = self._refused = 0
        self._guessed = self._raised = self._began_blocked = False
        self._meter = _Meter()
        self._noise = _Noise()
        self._block = Block()
        self._outage = False
        self._good: float | None = None
        self._overload_at = -MEMORY_S
        self._since_overload = 0
        self._overload_share = 0.0
        self._window_s = 0.0
        self._rate_since = 0.0

    @property
    def rate_binds(self) -> bool:
        """The learned rate is what holds requests back, and not the limit on requests at once."""
        if self.rate is None or self._latency_s is None:
            return self.rate is not None
        return self.rate < SPREAD * self.ceiling / self._latency_s

    @property
    def blocked_since(self) -> float | None:
        """Nothing has been taken since then; None while requests are taken."""
        return self._block.since

    def try_after_s(self, now: float) -> float:
        """While blocked: seconds until one request should try."""
        return self._block.pause_s(now, self._outage)

    @property
    def send_rate(self) -> float | None:
        """Requests a second at which sending is spread; None: as they come."""
        if self.rate is not None:
            return self.rate
        if self._latency_s is None:
            return START_RATE
        return SPREAD * self.limit / self._latency_s if self._found else None

    def sent(self, now: float, in_flight: int) -> SentMark:
        """A request goes out with `in_flight` under way, itself included."""
        if self._first_sent_at is None:
            self._first_sent_at = now
        self._sent += 1
        self._block.sent(now)
        return SentMark(now, in_flight)

    def accepted(self, mark: SentMark, now: float, busy: bool) -> None:
        """Any reply that is not a refusal. `busy`: the limit is what holds requests back, so raising it tells something."""
        latency = max(now - mark.sent_at, 1e-4)
        self._latency_s = latency if self._latency_s is None else 0.95 * self._latency_s + 0.05 * latency
        if mark.sent_at >= self._cut_at:
            self._accepted_at_once = max(self._accepted_at_once, mark.in_flight)
            self._since_overload += 1
        self._overload_share *= 1 - RECENT
        opened = self._block.accepted(mark.sent_at, self._latency_s)
        if opened is not None and opened.window and not self._outage:
            if opened.taken < MEASURED_OVER and not self._began_blocked:
                self._begin_again()
            else:
                self._limit_is_per_window(opened, now)
        elif opened is not None and self.rate is not None and self._rate_since >= opened.began and opened.least > ALONE:
            # The run of refusals that spoke for a rate ended when enough had come back: a limit on requests at once that fell.
            self.rate, self._contradictions = None, []
            self.limit = max(1.0, min(self.limit, opened.least - 1.0))
            self._hold(now)
        if self._back_to_good(mark):
            return
        if self.rate is not None:
            self._raise_rate(mark, now)
        if not busy or self.limit >= self.ceiling:
            return
        if not self._found or self.rate is not None:
            self.limit = min(self.limit + (1 if self._found else GROWTH), float(self.ceiling))
        elif self._probing_since is None:
            if now >= self._probe_at:
                self._probing_since = now
                self.limit = min(self.limit + self._step, float(self.ceiling))
        elif mark.sent_at > self._probing_since and mark.in_flight >= int(self.limit):
            # A whole round trip at the new level without a refusal: it holds, and the next step is twice as large.
            self._probing_since = None
            self._step = min(self._step * 2, max(self.limit / 4, 1.0))
            self._hold_s = FIRST_HOLD_S

    def refused(self, mark: SentMark, now: float, overload: bool = False) -> bool:
        """429 or overload. Returns True when the limit seems to be on the rate (then Retry-After holds for everybody)."""
        self._refused += 1
        if overload:
            self._overloaded(mark, now)
            return False
        self._outage = False
        self._block.refused(mark.sent_at, mark.in_flight, now)
        if self._noise.ignores(self._sent, self._refused):
            return False
        fresh, since_cut = mark.sent_at >= self._cut_at, now - self._cut_at
        if fresh:
            self._cut_at = now
        if self._block.since is not None and self.rate is not None:
            return True  # it goes on: the first refusal has said all
        if self._block.since is not None and mark.in_flight > ALONE:
            self.limit = max(1.0, min(self.limit, mark.in_flight - 1.0))
            return False
        if self.rate is not None:
            if fresh:
                self._cut_rate(now, since_cut)
            return True
        settled = self.limit if self._probing_since is None else 0
        below = self._found and mark.in_flight <= max(settled, self._accepted_at_once)
        if fresh:
            self._meter.start(now, self._sent - self._refused)
            self._contradictions = [t for t in self._contradictions if now - t < MEMORY_S]
            if below and self._block.repeats < COUNTED_REPEATS:
                self._contradictions.append(now)
            if len(self._contradictions) >= CONTRADICTIONS or mark.in_flight <= ALONE:
                self._limit_is_on_rate(now)
                return True
            self._hold(now)
            self._accepted_at_once = 0
        self.limit = max(1.0, min(self.limit, mark.in_flight - 1.0))
        return False

    def _overloaded(self, mark: SentMark, now: float) -> None:
        """503, 529, a full tier: down at once, and back to the last good level as soon as requests are taken again."""
        self._overload_share += RECENT * (1 - self._overload_share)
        self._block.refused(mark.sent_at, mark.in_flight, now)
        if mark.sent_at < self._cut_at or (self._block.since is None and self._overload_share < RARE):
            return
        self._cut_at = now
        self._outage = True
        if self._good is None:
            self._good = self.limit
        if self._since_overload and now - self._overload_at < MEMORY_S:
            # Some were taken meanwhile: no outage, but more than it can take.
            self._good = max(1.0, self.limit * OVERLOAD_FACTOR)
            self._hold(now)
        self._overload_at, self._since_overload = now, 0
        down = 0.25 if self._block.since is not None else OVERLOAD_FACTOR
        self.limit = max(1.0, min(self.limit * down, self._good))

    def _back_to_good(self, mark: SentMark) -> bool:
        """After an outage: True while the level is still on its way back."""
        if self._good is None or mark.sent_at < self._cut_at:
            return self._good is not None
        self._outage = False
        self.limit = min(max(self.limit + GROWTH, self._good * FIRST_STEP_BACK), self._good)
        if self.limit >= self._good:
            self._good = None
        return True

    def _begin_again(self) -> None:
        """A run of refusals before anything was measured tells no rate, the first time: a busy server at the start of a run."""
        self._began_blocked = True
        self.rate, self._found, self._contradictions, self._meter = None, False, [], _Meter()
        self.limit = float(min(START, self.ceiling))

    def _limit_is_per_window(self, opened: Opened, now: float) -> None:
        self.rate = max(MARGIN * opened.taken / opened.period_s, 0.05)
        self._window_s = opened.period_s
        self._guessed = self._raised = False
        self._step = 0.02
        self._hold_s = FIRST_HOLD_S
        self._contradictions = []
        self._noise.begin(self._sent, self._refused)
        self._meter = _Meter()
        self._probe_at = now + WINDOWS_PER_STEP * self._window_s
        self.limit = min(max(self.limit, START), self.ceiling)

    def _hold(self, now: float) -> None:
        if self._found:
            self._hold_s = min(self._hold_s * 2, MAX_HOLD_S)
        self._found = True
        self._step = 1.0
        self._probing_since = None
        self._probe_at = now + self._hold_s

    def _limit_is_on_rate(self, now: float) -> None:
        accepted = self._sent - self._refused
        # Before there is a measurement: a second's worth of what was accepted so far, burst included.
        start = self._first_sent_at if self._first_sent_at is not None else now
        guess = max(accepted / max(now - start, 1.0), 1.0)
        self.rate = self._meter.rate(now, accepted) or guess
        self._rate_since = now
        self._hold_s = FIRST_HOLD_S
        self._step = 0.25
        self._guessed = self._raised = True
        self._noise.begin(self._sent, self._refused)
        self._probe_at = now + self._hold_s

    def _cut_rate(self, now: float, since_cut: float) -> None:
        """since_cut: seconds since the cut before this one."""
        assert self.rate is not None
        accepted = self._sent - self._refused
        measured = self._meter.rate(now, accepted)
        raised, self._raised = self._raised, False
        known = self._noise.best
        if since_cut >= SETTLED_S and self._noise.cut(self.rate, measured, raised, self._sent, self._refused):
            self.rate = None
            self._found = False
            self._contradictions = []
            self._meter = _Meter()
            return
        coarse = self._guessed and (measured is None or self.rate > 1.2 * measured)
        if measured is not None:
            self._meter.restart(now, accepted)
            deepest = self.rate * (COARSE_CUT if coarse else FINE_CUT)
            self.rate = min(max(measured, deepest), self.rate) * MARGIN
            self._hold_s = FIRST_HOLD_S if measured > 1.1 * known else min(self._hold_s * 2, MAX_HOLD_S)
        else:
            # Not enough seen yet: a cut, and back up soon, unless a probe only went a little too far.
            self.rate *= COARSE_CUT if coarse else FINE_CUT
            self._hold_s = self._hold_s if self.rate < 1.2 * known else FIRST_HOLD_S
        self.rate = max(self.rate, 0.05)
        self._guessed = coarse
        self._step = 0.25 if self._guessed and self._noise.best == 0 else 0.02
        self._probe_at = now + max(self._hold_s, WINDOWS_PER_STEP * self._window_s)

    def _raise_rate(self, mark: SentMark, now: float) -> None:
        assert self.rate is not None
        if now < self._probe_at or mark.sent_at < self._cut_at:
            return
        # Some time at the new rate without a refusal, then a step that is larger.
        if not self.rate_binds:
            return  # raising it further changes nothing
        self.rate *= 1 + self._step
        self._raised = True
        most = MAX_WINDOW_STEP if self._window_s else 1.0 if self._guessed else 0.3
        self._step = min(self._step * 1.5, most)
        usual = min(max(0.3, (3.0 if self._guessed else 10.0) / self.rate), 5.0)
        self._probe_at = now + max(usual, WINDOWS_PER_STEP * self._window_s)


class _Meter:
    """Measures a provider's rate: requests accepted between two moments at which its bucket was empty."""

    def __init__(self) -> None:
        self._since: tuple[float, int] | None = None

    def start(self, now: float, accepted: int) -> None:
        if self._since is None:
            self._since = (now, accepted)

    def restart(self, now: float, accepted: int) -> None:
        self._since = (now, accepted)

    def rate(self, now: float, accepted: int) -> float | None:
        """Requests a second; None while too little was seen."""
        self.start(now, accepted)
        assert self._since is not None
        since, then = self._since
        if now - since < 1.0 or accepted - then < MEASURED_OVER:
            return None
        return (accepted - then) / (now - since)


class _Noise:
    """Tells refusals that depend on how fast we ask from those that come whatever we do.

    A limit on the rate refuses nobody who stays below what it took before. So a refusal without a raise since the last cut, or
    well below a measured rate, is strange; several of them mean that slowing down does not help. From then on refusals are
    ignored for as long as their share stays what it was.
    """

    def __init__(self) -> None:
        self.best = 0.0
        """The highest rate measured since `begin`, requests a second."""
        self._strange = 0.0
        self._needed = STRANGE
        self._share: float | None = None
        self._base = (0, 0)

    def begin(self, sent: int, refused: int) -> None:
        """From here on the rate is taken for the limit."""
        self.best = self._strange = 0.0
        self._base = (sent, refused)

    def cut(self, rate: float, measured: float | None, raised: bool, sent: int, refused: int) -> bool:
        """A refusal at `rate`. True: slowing down does not help, so refusals are ignored for a while."""
        if not raised or rate < 0.9 * self.best:
            self._strange += 1
        else:
            self._strange = max(self._strange - 0.5, 0.0)
        self.best = max(self.best, measured or 0.0)
        if self._strange < self._needed:
            return False
        self._share = min((refused - self._base[1]) / max(sent - self._base[0], 1), 0.2)
        self._base = (sent, refused)
        return True

    def ignores(self, sent: int, refused: int) -> bool:
        """Whether this refusal says nothing; ends when more are refused than the noise explains."""
        if self._share is None:
            return False
        more_sent, more_refused = sent - self._base[0], refused - self._base[1]
        if more_refused > 8 + 2 * self._share * more_sent:
            self._share = None
            self._needed = min(self._needed * 2, 64 * STRANGE)
            return False
        if more_sent > 500:
            self._base = (sent - 250, refused - more_refused // 2)
        return True
