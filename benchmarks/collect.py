"""Collecting against a loopback server: Distil, a bare aiohttp loop, bespoke-curator and distilabel, in turn.

    python benchmarks/collect.py                          requests/s, share of the bare loop, CPU a request, peak memory
    python benchmarks/collect.py --memory 200000          peak memory of one Distil run over so many prompts
    python benchmarks/collect.py --limits                 how close it gets to hidden limits, and at how many refusals

The server (benchmarks/loopback.py) and each contender are processes of their own; a contender's clock starts after its imports.
Peers live in environments of their own, made on first use in $DISTIL_PEERS (default ~/.cache/distil-peers); where they can't
be installed they are left out with a message. Contenders take turns, and the table shows medians.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PEERS = {
    "curator": ["bespokelabs-curator"],
    "distilabel": ["distilabel[openai]", "requests"],  # it imports requests without asking for it
}
PROMPT = "Explain in a few words what number {} stands for, and why somebody would ask."


class Server:
    """benchmarks/loopback.py, running."""

    def __init__(self, *options: str) -> None:
        command = [sys.executable, str(HERE / "loopback.py"), *options]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.url = f"http://127.0.0.1:{self._process.stdout.readline().split()[1]}/v1"

    def counts(self) -> dict[str, Any]:
        with urllib.request.urlopen(self.url.removesuffix("/v1") + "/counts") as reply:
            return dict(json.load(reply))

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()


async def bare(url: str, requests: int, at_once: int) -> None:
    """What aiohttp alone can do: no ledger, no limits, no retries."""
    import aiohttp

    numbers = iter(range(requests))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def worker() -> None:
            for number in numbers:
                message = {"role": "user", "content": PROMPT.format(number)}
                body = {"model": "m", "messages": [message], "max_tokens": 500, "temperature": 0.7}
                async with session.post(f"{url}/chat/completions", json=body) as reply:
                    answer = await reply.json()
                    assert answer["choices"][0]["message"]["content"]

        await asyncio.gather(*[worker() for _ in range(at_once)])


async def distil(url: str, requests: int, at_once: int) -> None:
    """The client as `distil collect` uses it, ledger on."""
    from distil.calls.client import Client
    from distil.calls.config import Limits, Price, TeacherConfig
    from distil.calls.request import Reply, Request
    from distil.records import Message

    model = f"{url}#m"
    teacher = TeacherConfig(model=model, price=Price(input=0.25, output=2.0), limits=Limits(concurrency=at_once))
    with tempfile.TemporaryDirectory(dir=os.environ.get("DISTIL_BENCH_DIR")) as folder:
        async with Client(Path(folder) / "ledger.sqlite", [teacher], budget_usd=1000.0) as client:
            stream = (
                Request(model=model, messages=[Message(role="user", content=PROMPT.format(number))])
                for number in range(requests)
            )
            async for _, result in client.map(enumerate(stream)):
                assert isinstance(result, Reply), result


def contend(name: str, url: str, requests: int, at_once: int) -> None:
    """Runs one contender in this process and prints what it took, as one JSON line."""
    import aiohttp

    import distil as package

    work = {"bare": bare, "distil": distil}[name]
    started, cpu = time.perf_counter(), time.process_time()
    asyncio.run(work(url, requests, at_once))
    taken = {
        "seconds": time.perf_counter() - started,
        "cpu": time.process_time() - cpu,
        "rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "version": f"aiohttp {aiohttp.__version__}" if name == "bare" else package.__version__,
    }
    print(json.dumps(taken))


def environment(peer: str) -> Path | None:
    """The python of a peer's environment, made where it is missing; None with a message where that can't be done."""
    folder = Path(os.environ.get("DISTIL_PEERS", Path.home() / ".cache" / "distil-peers")) / peer
    python = folder / "bin" / "python"
    module = {"curator": "bespokelabs.curator", "distilabel": "distilabel.models"}[peer]
    check = [str(python), "-c", f"import {module}"]
    if python.exists() and subprocess.run(check, capture_output=True).returncode == 0:
        return python
    print(f"making an environment for {PEERS[peer][0]} in {folder} ...", file=sys.stderr)
    for command in (
        [sys.executable, "-m", "venv", str(folder)],
        [str(python), "-m", "pip", "install", "-q", PEERS[peer]],
    ):
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            print(f"{peer} is left out: {(done.stderr.strip().splitlines() or ['it failed'])[-1]}", file=sys.stderr)
            return None
    return python


def run(name: str, python: Path, url: str, requests: int, at_once: int, limit_s: float) -> dict[str, Any] | None:
    """One turn of one contender, or None with a message."""
    script = str(HERE / ("collect_peers.py" if name in PEERS else "collect.py"))
    command = [
        str(python),
        script,
        "--contender",
        name,
        "--url",
        url,
        "--requests",
        str(requests),
        "--at-once",
        str(at_once),
    ]
    with tempfile.TemporaryDirectory() as folder:
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=limit_s, cwd=folder)
        except subprocess.TimeoutExpired:
            print(f"{name}: not done after {limit_s:g} s", file=sys.stderr)
            return None
    lines = [line for line in done.stdout.splitlines() if line.startswith('{"seconds"')]
    if done.returncode != 0 or not lines:
        print(f"{name}: {(done.stderr.strip().splitlines() or ['it printed nothing'])[-1]}", file=sys.stderr)
        return None
    return dict(json.loads(lines[-1]))


def compare(options: argparse.Namespace) -> None:
    pythons = {"bare": Path(sys.executable), "distil": Path(sys.executable)}
    for peer in options.peers:
        python = environment(peer)
        if python is not None:
            pythons[peer] = python
    server = Server("--latency", str(options.latency))
    results: dict[str, list[dict[str, Any]]] = {name: [] for name in pythons}
    try:
        for turn in range(options.repeats):
            for name, python in pythons.items():
                if name in PEERS and turn >= options.peer_repeats:
                    continue
                requests = options.requests if name not in PEERS else min(options.requests, options.peer_requests)
                result = run(name, python, server.url, requests, options.at_once, options.limit)
                if result is not None:
                    results[name].append(
                        {**result, "rate": requests / result["seconds"], "cpu": result["cpu"] / requests}
                    )
    finally:
        server.stop()
    print(f"\n{options.requests:,} requests, {options.at_once} at once, answered in {options.latency:g} s; {machine()}")
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores; medians of {options.repeats} turns\n")
    print(f"{'':12}{'requests/s':>12}{'of bare':>10}{'CPU ms/request':>16}{'peak MB':>10}   version")
    shares = [d["rate"] / b["rate"] for d, b in zip(results["distil"], results["bare"], strict=False)]
    for name, turns in results.items():
        if not turns:
            print(f"{name:12}{'-':>12}")
            continue
        middle = {key: statistics.median(turn[key] for turn in turns) for key in ("rate", "cpu", "rss_mb")}
        base = statistics.median(turn["rate"] for turn in results["bare"]) if results["bare"] else float("nan")
        print(
            f"{name:12}{middle['rate']:12,.0f}{middle['rate'] / base:10.1%}{middle['cpu'] * 1e3:16.3f}"
            f"{middle['rss_mb']:10.0f}   {turns[0]['version']}"
        )
    if shares:
        print(f"\nDistil's share of the bare loop, turn by turn: {', '.join(f'{share:.1%}' for share in shares)}")


def limits(options: argparse.Namespace) -> None:
    cases = [
        ("37 at once", ["--at-once", "37", "--latency", "0.2"], 37 / 0.2, 3000),
        ("600 a minute", ["--per-minute", "600", "--burst", "10", "--latency", "0.2"], 10.0, 1000),
    ]
    print(f"{machine()}, load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores\n")
    print(f"{'hidden limit':16}{'used, first 3 s':>16}{'3 s to the end':>16}{'refused':>10}{'since 3 s':>11}")
    for name, arguments, most, requests in cases:
        server = Server(*arguments, "--log")
        try:
            run("distil", Path(sys.executable), server.url, requests, 200, options.limit)
            log = server.counts()["log"]
        finally:
            server.stop()
        start, end = log[0][0], max(at for at, taken in log if taken)
        late = [taken for at, taken in log if at >= start + 3]
        first = sum(taken for at, taken in log if at < start + 3) / 3 / most
        then = sum(late) / (end - start - 3) / most
        refused, refused_late = 1 - sum(taken for _, taken in log) / len(log), 1 - sum(late) / len(late)
        print(f"{name:16}{first:16.1%}{then:16.1%}{refused:10.2%}{refused_late:11.2%}")


def memory(options: argparse.Namespace) -> None:
    server = Server("--latency", "0.02")
    try:
        result = run("distil", Path(sys.executable), server.url, options.memory, options.at_once, 3600)
    finally:
        server.stop()
    if result is not None:
        print(
            f"{options.memory:,} prompts: peak {result['rss_mb']:.0f} MB, {options.memory / result['seconds']:,.0f} requests/s"
        )


def machine() -> str:
    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return f"{names[0].split(':')[1].strip() if names else platform.machine()}, Python {platform.python_version()}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=8000)
    parser.add_argument("--at-once", type=int, default=200)
    parser.add_argument("--latency", type=float, default=0.2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--peers", nargs="*", default=list(PEERS), choices=list(PEERS))
    parser.add_argument("--peer-requests", type=int, default=1000)
    parser.add_argument("--peer-repeats", type=int, default=1)
    parser.add_argument("--limit", type=float, default=300.0, help="most seconds for one turn")
    parser.add_argument("--memory", type=int, default=0, metavar="PROMPTS")
    parser.add_argument("--limits", action="store_true")
    parser.add_argument("--contender", choices=["bare", "distil"], help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contender:
        contend(options.contender, options.url, options.requests, options.at_once)
    elif options.memory:
        memory(options)
    elif options.limits:
        limits(options)
    else:
        compare(options)


if __name__ == "__main__":
    main()
