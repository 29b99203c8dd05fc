"""What Distil's gateway costs, beside litellm's proxy and one that only passes on, all in front of one model server, in one run.

    python benchmarks/gateway.py [--litellm /path/to/venv/bin/python] [--seconds 8]
    python benchmarks/gateway.py --soak 10          ten minutes of mixed traffic: memory, open files, answers

Three figures for each way through: CPU milliseconds for each request (and so requests for each CPU second of one core), requests
a second at saturation, and what is added to the latency at 100 requests a second (p50 and p99, above asking the model server
itself in the same seconds). A busy machine leaves only the first alone. The gateway has one core, the model server and the
clients another where there are two. Distil's capture, ledger, page and request log are on, as `distil serve` has them.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import sys
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
from gateway_contenders import Running, bare, distil, litellm, upstream
from gateway_load import Client, Seen, saturate, steady
from gateway_soak import soak

RATE = 100.0
AT_ONCE, STREAMS_AT_ONCE = 16, 4
WARM_UP_S = 1.0


@dataclass(frozen=True)
class Way:
    """One row: a gateway and what is asked of it."""

    label: str
    start: Callable[[], AbstractContextManager[Running]]
    prompt: str = "short"
    stream: bool = False


@dataclass(frozen=True)
class Measured:
    """A row's figures."""

    cpu_ms: float
    """Of the gateway for each request at saturation."""
    per_second: float
    """At saturation."""
    added_p50_ms: float
    added_p99_ms: float
    failed: int
    rss_mib: float


def measure(way: Way, direct: str, seconds: float) -> Measured:
    """Saturates a gateway, then sends RATE requests a second to it and, in turns, to the model server."""
    with way.start() as running:
        client = Client(running.url, key=running.key, prompt=way.prompt, stream=way.stream)
        at_once = STREAMS_AT_ONCE if way.stream else AT_ONCE
        asyncio.run(saturate(client, at_once, WARM_UP_S))
        before = running.cpu()
        full = asyncio.run(saturate(client, at_once, seconds))
        used = running.cpu() - before
        through, beside = Seen(), Seen()
        if not way.stream:
            straight = Client(direct, prompt=way.prompt)
            for _ in range(4):
                for found, asked in ((through, client), (beside, straight)):
                    part = asyncio.run(steady(asked, RATE, seconds / 8))
                    found.seconds += part.seconds
                    found.failed += part.failed
        return Measured(
            cpu_ms=1000 * used / max(1, len(full.seconds)),
            per_second=len(full.seconds) / full.lasted,
            added_p50_ms=_added(through, beside, 50),
            added_p99_ms=_added(through, beside, 99),
            failed=full.failed + through.failed,
            rss_mib=running.rss_mib(),
        )


def _added(through: Seen, beside: Seen, percentile: float) -> float:
    if not through.seconds or not beside.seconds:
        return float("nan")
    return float(1000 * (np.percentile(through.seconds, percentile) - np.percentile(beside.seconds, percentile)))


def ways(folder: Path, url: str, core: int | None, python: Path | None) -> list[Way]:
    """The rows, in the order of the table."""

    def ours(mode: str) -> Callable[[], AbstractContextManager[Running]]:
        place = folder / mode.replace(", ", "-").replace(" ", "-")
        place.mkdir(exist_ok=True)
        return lambda: distil(place, url, mode, core)

    def passing() -> AbstractContextManager[Running]:
        return bare(folder, url, core)

    found = [
        Way("bare proxy", passing),
        Way("Distil, student by URL", ours("student")),
        Way("Distil, student, no fallback", ours("student, no fallback")),
        Way("Distil, teacher", ours("teacher")),
        Way("bare proxy, 500 words", passing, "long"),
        Way("Distil, student, 500 words", ours("student"), "long"),
        Way("bare proxy, 500 words as a stream", passing, "long", True),
        Way("Distil, student, 500 words as a stream", ours("student"), "long", True),
        Way("Distil, no fallback, 500 words as a stream", ours("student, no fallback"), "long", True),
        Way("Distil, teacher, 500 words as a stream", ours("teacher"), "long", True),
    ]
    if python is None:
        print("litellm is left out: give the Python of an environment that has `litellm[proxy]`, --litellm PYTHON\n")
        return found

    def other() -> AbstractContextManager[Running]:
        return litellm(folder, url, python, core)

    found += [
        Way("litellm proxy", other),
        Way("litellm proxy, 500 words", other, "long"),
        Way("litellm proxy, 500 words as a stream", other, "long", True),
    ]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--litellm", type=Path, default=None, help="Python of an environment with litellm[proxy]")
    parser.add_argument("--seconds", type=float, default=8.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3, help="how often each row is measured; the best round counts")
    parser.add_argument("--only", default="", help="rows whose label contains this")
    parser.add_argument("--pace", type=float, default=0.002, help="seconds between two words of a stream")
    parser.add_argument("--soak", type=float, default=0.0, metavar="MINUTES")
    options = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    own, rest = (cores[0], cores[1]) if len(cores) > 1 else (None, None)
    if rest is not None:
        os.sched_setaffinity(0, {rest})
    with tempfile.TemporaryDirectory(prefix="distil-gateway-") as name, upstream(rest, options.pace) as url:
        if options.soak:
            soak(Path(name), url, own, options.soak)
            return
        chosen = [way for way in ways(Path(name), url, own, options.litellm) if options.only in way.label]
        table(chosen, url, options.seconds, options.rounds)


def table(chosen: list[Way], url: str, seconds: float, rounds: int) -> None:
    """Measures all rows in turns and prints the best round of each: what others do on the machine only adds."""
    found: dict[str, list[Measured]] = {way.label: [] for way in chosen}
    for number in range(rounds):
        for way in chosen:
            found[way.label].append(measure(way, url, seconds))
            print(f"round {number + 1}, {way.label}: {found[way.label][-1]}", file=sys.stderr, flush=True)
    print(
        f"{platform.machine()}, load {os.getloadavg()[0]:.1f}, uvicorn {version('uvicorn')}, best of {rounds} rounds\n"
    )
    print(
        "| way | CPU ms/request | requests per CPU second | requests/s | added p50 ms | added p99 ms | RSS MiB | failed |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for way in chosen:
        several = found[way.label]
        cpu = min(each.cpu_ms for each in several)
        p50, p99 = (min(getattr(each, name) for each in several) for name in ("added_p50_ms", "added_p99_ms"))
        print(
            f"| {way.label} | {cpu:.2f} | {1000 / cpu:,.0f} | {max(each.per_second for each in several):,.0f} | "
            + ("- | -" if way.stream else f"{p50:.2f} | {p99:.2f}")
            + f" | {max(each.rss_mib for each in several):.0f} | {sum(each.failed for each in several)} |"
        )


if __name__ == "__main__":
    main()
