"""What a month of the student costs under `cost.student_host`: by the token at a provider, or by the hour on machines."""

from __future__ import annotations

from distil.cost.arithmetic import hosted_month, machines_needed, tokens_month
from distil.cost.config import StudentHost


def student_month(
    host: StudentHost, queries: float, input_tokens: float, output_tokens: float, *, measured_speed: float | None = None
) -> float | None:
    """Dollars a month. measured_speed: answer tokens per second of one machine, where the host names none.

    None = no price by the hour, or the machine's speed is unknown.
    """
    if host.input is not None or host.output is not None:
        return tokens_month(queries, input_tokens, output_tokens, host.input or 0.0, host.output or 0.0)
    speed = host.tokens_per_second or measured_speed
    if host.usd_per_hour is None or speed is None:
        return None
    machines = machines_needed(
        queries, output_tokens, speed, peak_to_mean=host.peak_to_mean, utilisation=host.utilisation
    )
    return hosted_month(host.usd_per_hour, machines)
