"""What a month of the student costs under `cost.student_host`: by the token at a provider, or by the hour on machines."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from distil.cost.arithmetic import hosted_month, machines_needed, tokens_month
from distil.cost.config import StudentHost
from distil.errors import UserError

Month = Callable[[float, float, float], float]
"""(requests a month, prompt tokens, answer tokens of one) -> dollars a month."""


class Host(NamedTuple):
    """One place where the student can run."""

    name: str
    """own machine | provider | deployment."""
    month: Month


def hosts_of(host: StudentHost, speed: float | None) -> list[Host]:
    """The ways that the config names. `speed`: measured answer tokens per second of one machine, where the config names none.

    A machine whose speed is unknown is left out. Raises UserError for half a price.
    """
    found = []
    if (host.input is None) != (host.output is None):
        given, missing = ("input", "output") if host.output is None else ("output", "input")
        raise UserError(
            f"cost.student_host.{given} is set and {missing} is not: a price needs both. Add --set "
            f"cost.student_host.{missing}=0.4, in dollars per million tokens (0 where it is free)."
        )
    if host.input is not None and host.output is not None:
        fresh, answer = host.input, host.output
        found.append(Host("provider", lambda queries, ins, outs: tokens_month(queries, ins, outs, fresh, answer)))
    if host.usd_per_hour is None and not found:
        raise UserError(
            "cost.student_host needs usd_per_hour (a machine) or input and output (a provider's $ per million tokens)."
        )
    rate, hourly = host.tokens_per_second or speed, host.usd_per_hour
    if hourly is not None and rate is not None:
        found.append(
            Host("own machine", lambda queries, ins, outs: hosted_month(hourly, machines(host, rate, queries, outs)))
        )
    return found


def machines(host: StudentHost, speed: float, queries: float, output_tokens: float) -> int:
    """Machines for the busiest hour."""
    return machines_needed(queries, output_tokens, speed, peak_to_mean=host.peak_to_mean, utilisation=host.utilisation)


def student_month(
    host: StudentHost, queries: float, input_tokens: float, output_tokens: float, *, measured_speed: float | None = None
) -> float | None:
    """Dollars a month in the first way that `hosts_of` finds; None where there is none."""
    return next((way.month(queries, input_tokens, output_tokens) for way in hosts_of(host, measured_speed)), None)
