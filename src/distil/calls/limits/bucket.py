"""Token buckets that know when the next request may go, so nothing polls. Requests a minute, tokens a minute.

The generic cell rate algorithm (GCRA, ATM Forum 1996): one number, the time at which the bucket would be level again. Starts
with a second's worth of burst, not with a full minute's, because that is how storms of 429 begin.
"""

from __future__ import annotations

from distil.calls.config import Limits
from distil.calls.providers.base import LimitHint, Unit

BURST_S = 1.0
# Windows longer than this are quotas of an hour or a day: nothing to pace by.
MAX_WINDOW_S = 150.0


class Bucket:
    """`rate` is in units a second (requests or tokens)."""

    def __init__(self, rate: float, now: float, burst_s: float = BURST_S) -> None:
        self.rate = rate
        self.burst_s = burst_s
        self._level_at = now

    def ready_at(self, now: float) -> float:
        """When the next request may go. A request larger than the burst goes too, and those behind it wait for it."""
        return max(now, self._level_at - self.burst_s)

    def take(self, cost: float, now: float) -> None:
        """Charges `cost` units."""
        self._level_at = max(self._level_at, now) + cost / self.rate

    def correct(self, difference: float) -> None:
        """Charges what was more (or gives back what was less) than expected, once it is known."""
        self._level_at += difference / self.rate

    def set_rate(self, rate: float, now: float) -> None:
        """Another rate; what is owed in units stays the same."""
        owed = max(self._level_at - now, 0.0) * self.rate
        self.rate = rate
        self._level_at = now + owed / rate

    def drain(self, now: float) -> None:
        """The provider says that nothing is left: the next one waits for one unit's time."""
        self._level_at = max(self._level_at, now + self.burst_s)


class Buckets:
    """One bucket per unit whose limit is configured or announced by the provider."""

    def __init__(self, limits: Limits, now: float) -> None:
        per_minute: dict[Unit, int | None] = {
            "requests": limits.requests_per_minute,
            "tokens": limits.tokens_per_minute,
            "input_tokens": limits.input_tokens_per_minute,
            "output_tokens": limits.output_tokens_per_minute,
        }
        self.used_up = "requests"
        """What a quota of an hour or a day counts, where one is used up."""
        self._configured = {unit: count / 60.0 for unit, count in per_minute.items() if count is not None}
        self._buckets = {unit: Bucket(rate, now) for unit, rate in self._configured.items()}

    def rate(self, unit: Unit) -> float | None:
        """Units a second that are allowed now; None where no limit is known."""
        bucket = self._buckets.get(unit)
        return None if bucket is None else bucket.rate

    def ready_at(self, now: float) -> float:
        """When the next request may go."""
        return max((bucket.ready_at(now) for bucket in self._buckets.values()), default=now)

    def take(self, input_tokens: int, output_tokens: int, now: float) -> None:
        """Charges one request."""
        costs = _costs(1, input_tokens, output_tokens)
        for unit, bucket in self._buckets.items():
            bucket.take(costs[unit], now)

    def correct(self, input_tokens: int, output_tokens: int) -> None:
        """Charges the tokens that a reply used beyond the estimate; negative ones are given back."""
        costs = _costs(0, input_tokens, output_tokens)
        for unit, bucket in self._buckets.items():
            bucket.correct(costs[unit])

    def follow(self, hint: LimitHint, now: float) -> float:
        """Takes over announced limits; a configured one stays the upper bound. Returns the time until which nothing may go."""
        held_until = now
        for unit, (limit, remaining, reset_s) in hint.items():
            if limit is None or limit <= 0:
                continue
            rate = per_second(limit, remaining, reset_s)
            if rate is not None:
                rate = min(rate, self._configured.get(unit, rate))
                bucket = self._buckets.setdefault(unit, Bucket(rate, now))
                if abs(bucket.rate - rate) > 1e-9:
                    bucket.set_rate(rate, now)
            if remaining is not None and remaining <= 0:
                if rate is None and reset_s:
                    self.used_up = unit.replace("_", " ")
                    held_until = max(held_until, now + reset_s)  # a quota of an hour or a day is used up
                elif unit in self._buckets:
                    self._buckets[unit].drain(now)
        return held_until


def _costs(requests: int, input_tokens: int, output_tokens: int) -> dict[Unit, int]:
    return {
        "requests": requests,
        "tokens": input_tokens + output_tokens,
        "input_tokens": input_tokens,
        "output_tokens": output_tokens,
    }


def per_second(limit: int, remaining: int | None, reset_s: float | None) -> float | None:
    """Units a second that a header's limit means: limit/60 unless used and reset show that its window is longer.

    `reset_s` is the time until the bucket is full: (limit - remaining) units in `reset_s` seconds. Groq's and OpenAI's
    lowest tiers put a day's limit into the same header; those give None.
    """
    if limit <= 0:
        return None
    if remaining is not None and reset_s and 0 <= remaining < limit:
        window_s = limit * reset_s / (limit - remaining)
        if window_s > MAX_WINDOW_S:
            return None
    return limit / 60.0
