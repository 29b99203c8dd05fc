"""A hidden limit is found within seconds and kept to, with hardly a refusal. In virtual time, through the real gate."""

from __future__ import annotations

import pytest

from distil.calls.config import Limits
from tests.calls.simulated import Provider, crowd


@pytest.mark.parametrize("jitter", [0.0, 0.3, 0.9])
def test_a_limit_of_37_at_once_is_found_within_three_seconds(jitter: float) -> None:
    provider = Provider(at_once=37, jitter=jitter)
    crowd(provider, 30)
    most = 37 / 0.2
    assert provider.taken(3, 10) > 0.95 * most
    assert provider.taken(10, 30) > 0.95 * most
    assert provider.refused_share(0, 30) < 0.01


def test_slow_answers_do_not_hide_a_limit_on_concurrency() -> None:
    provider = Provider(at_once=37, latency=1.0)
    crowd(provider, 40)
    assert provider.taken(5, 40) > 0.9 * 37
    assert provider.refused_share(0, 40) < 0.02


@pytest.mark.parametrize("latency", [0.05, 0.2, 2.0])
def test_600_a_minute_are_found_within_seconds_and_kept(latency: float) -> None:
    provider = Provider(rate=10, burst=10, latency=latency)
    crowd(provider, 60)
    assert provider.taken(5, 15) > 0.9 * 10
    assert provider.taken(15, 60) > 0.95 * 10
    assert provider.refused_share(15, 60) < 0.025


@pytest.mark.parametrize("latency", [0.05, 0.2, 2.0])
def test_a_bucket_without_burst_is_used_to_nine_tenths(latency: float) -> None:
    provider = Provider(rate=10, burst=1, latency=latency)
    crowd(provider, 90)
    assert provider.taken(30, 90) > 0.9 * 10
    assert provider.refused_share(30, 90) < 0.02


def test_a_high_rate_is_found_too() -> None:
    provider = Provider(rate=500, burst=100)
    crowd(provider, 12)
    assert provider.taken(6, 12) > 0.9 * 500
    assert provider.refused_share(4, 12) < 0.02


def test_both_limits_at_once() -> None:
    provider = Provider(at_once=37, rate=100, burst=10)
    crowd(provider, 40)
    assert provider.taken(5, 40) > 0.9 * 100
    assert provider.refused_share(5, 40) < 0.02


class Changing(Provider):
    """Another limit on concurrency from the 20th second on."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__(latency=0.5)
        self.before, self.after = before, after

    def _takes(self, now: float) -> bool:
        self.at_once = self.before if now < 20 else self.after
        return super()._takes(now)


def test_a_limit_that_rises_is_noticed() -> None:
    provider = Changing(10, 60)
    crowd(provider, 80)
    assert provider.taken(10, 20) > 0.9 * 10 / 0.5
    assert provider.taken(60, 80) > 0.9 * 60 / 0.5


def test_a_limit_that_falls_is_noticed() -> None:
    provider = Changing(60, 15)
    crowd(provider, 60)
    assert provider.taken(40, 60) > 0.75 * 15 / 0.5
    assert provider.refused_share(25, 60) < 0.03


def test_without_a_limit_the_ceiling_comes_in_a_few_round_trips() -> None:
    provider = Provider()
    gate = crowd(provider, 4)
    assert gate.limit == 200
    assert provider.taken(2, 4) > 0.95 * 1000


def test_refusals_unrelated_to_speed_do_not_stop_the_run() -> None:
    provider = Provider(noise=0.05, latency=1.0)
    crowd(provider, 60)
    assert provider.taken(20, 60) > 0.6 * 200


@pytest.mark.parametrize("noise", [0.01, 0.05])
@pytest.mark.parametrize("seed", range(4))
def test_random_refusals_do_not_slow_a_quick_provider_down(noise: float, seed: int) -> None:
    provider = Provider(noise=noise, seed=seed)
    crowd(provider, 30)
    assert provider.taken(20, 30) > 0.9 * 1000


def test_one_refusal_in_seven_does_not_stop_the_run() -> None:
    provider = Provider(noise=0.15, latency=1.0, seed=1)  # it refuses the very first request, too
    crowd(provider, 150)
    assert provider.taken(120, 150) > 0.5 * 200


def test_of_a_thousand_requests_under_one_in_fifty_is_refused() -> None:
    provider = Provider(rate=10, burst=10)
    crowd(provider, 100)
    assert provider.refused_share(0, 100) < 0.02


def test_configured_requests_a_minute_hold_from_the_start() -> None:
    provider = Provider(rate=10, burst=15)
    crowd(provider, 30, Limits(requests_per_minute=600))
    assert provider.taken(1, 30) > 0.97 * 10
    assert provider.refused_share(0, 30) < 0.01
