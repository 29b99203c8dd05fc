"""An OpenAI-compatible server on loopback, in a separate process: answers after a fixed time, has limits, and breaks things.

    python benchmarks/loopback.py --latency 0.2                     what benchmarks/collect.py measures against
    python benchmarks/loopback.py --at-once 37 --per-minute 600     hidden limits, refused with 429
    python benchmarks/loopback.py --faults 0.3 --seed 1             429, 500, hangs, cut connections, non-JSON, slow bodies

Prints `PORT n` once it listens. `GET /counts` tells how often each prompt was answered whole, and totals.
Speaks the real wire format; its answer to a prompt is `answer to PROMPT`. Used by tests/calls and by the benchmark.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import time
from collections import Counter
from typing import Any

from aiohttp import web


class Loopback:
    """One server; see the module's docstring for its options."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.random = random.Random(options.seed)
        self.answered: Counter[str] = Counter()
        self.totals: Counter[str] = Counter()
        self.in_flight = 0
        self.level, self.level_at = float(options.burst), time.monotonic()
        self.log: list[tuple[float, bool]] = []
        self.asked: list[str] = []

    async def chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        if not body.get("messages"):  # curator asks so to see the headers
            error = {"message": "[] is too short - 'messages'", "type": "invalid_request_error", "code": None}
            return web.json_response({"error": error}, status=400)
        prompt = body["messages"][-1]["content"]
        self.totals["requests"] += 1
        if self.options.log:
            self.asked.append(prompt)
        refusal = self.refusal()
        if self.options.log:
            self.log.append((time.monotonic(), refusal is None))
        if refusal is not None:
            self.totals["refused"] += 1
            return refusal
        fault = self.random.choice(FAULTS) if self.random.random() < self.options.faults else None
        self.in_flight += 1
        self.totals["most at once"] = max(self.totals["most at once"], self.in_flight)
        try:
            if fault is not None:
                self.totals[fault] += 1
                return await self.broken(request, fault, prompt, body)
            jitter = 1 + self.options.jitter * (self.random.random() * 2 - 1)
            await asyncio.sleep(self.options.latency * jitter)
        finally:
            self.in_flight -= 1
        if self.options.count:
            self.answered[prompt] += 1
        return web.json_response(self.completion(prompt, body))

    def refusal(self) -> web.Response | None:
        options = self.options
        if options.at_once and self.in_flight >= options.at_once:
            return refused("concurrency", None)
        if options.per_minute:
            now = time.monotonic()
            self.level = min(options.burst, self.level + (now - self.level_at) * options.per_minute / 60)
            self.level_at = now
            if self.level < 1:
                return refused("requests per minute", options.retry_after)
            self.level -= 1
        return None

    async def broken(self, request: web.Request, fault: str, prompt: str, body: dict[str, Any]) -> web.StreamResponse:
        if fault == "429":
            return refused("requests per minute", None)
        if fault == "500":
            return web.json_response({"error": {"message": "oops", "type": "server_error", "code": None}}, status=500)
        if fault == "html":
            return web.Response(text="<html>502 Bad Gateway</html>", content_type="text/html")
        if fault == "hang":
            await asyncio.sleep(3600)
        whole = json.dumps(self.completion(prompt, body)).encode()
        response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": str(len(whole))})
        await response.prepare(request)
        await response.write(whole[: len(whole) // 2])
        if fault == "cut":
            assert request.transport is not None
            request.transport.abort()
            return response
        await asyncio.sleep(0.15)
        with contextlib.suppress(ConnectionError):  # whoever asked may be dead by now
            await response.write(whole[len(whole) // 2 :])
            await response.write_eof()
        if self.options.count:
            self.answered[prompt] += 1
        return response

    def completion(self, prompt: str, body: dict[str, Any]) -> dict[str, Any]:
        words = f"answer to {prompt}"
        return {
            "id": f"chatcmpl-{self.totals['requests']}",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": body["model"],
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": words},
                    "finish_reason": "stop",
                    "logprobs": None,
                }
            ],
            "usage": self.usage(prompt, words, body),
        }

    def usage(self, prompt: str, words: str, body: dict[str, Any]) -> dict[str, int]:
        most = body.get("max_tokens") or body.get("max_completion_tokens") or 16
        output = self.random.randint(1, most) if self.options.random_usage else max(1, len(words) // 4)
        tokens = max(1, len(prompt) // 4)
        return {"prompt_tokens": tokens, "completion_tokens": output, "total_tokens": tokens + output}

    async def counts(self, _: web.Request) -> web.Response:
        seen = {"answered": self.answered, "asked": self.asked, "totals": self.totals, "log": self.log}
        return web.json_response(seen)


FAULTS = ("429", "500", "html", "hang", "cut", "slow")


def refused(what: str, retry_after: float | None) -> web.Response:
    headers = {} if retry_after is None else {"Retry-After": f"{retry_after:g}"}
    error = {"message": f"Rate limit reached on {what}", "type": "requests", "code": "rate_limit_exceeded"}
    return web.json_response({"error": error}, status=429, headers=headers)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--latency", type=float, default=0.2, help="seconds until an answer")
    parser.add_argument("--jitter", type=float, default=0.0, help="share by which the latency varies")
    parser.add_argument("--at-once", type=int, default=0, help="refuse more than so many at once")
    parser.add_argument("--per-minute", type=float, default=0, help="refuse more than so many a minute (token bucket)")
    parser.add_argument("--burst", type=float, default=10, help="size of that bucket")
    parser.add_argument("--retry-after", type=float, default=None, help="Retry-After that refusals carry")
    parser.add_argument("--faults", type=float, default=0.0, help="share of requests that break")
    parser.add_argument("--random-usage", action="store_true", help="bill a random number of output tokens")
    parser.add_argument("--log", action="store_true", help="/counts also tells what was asked, and when")
    parser.add_argument("--count", action="store_true", help="/counts also tells how often each prompt was answered")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(arguments)


async def serve(options: argparse.Namespace) -> None:
    server = Loopback(options)
    app = web.Application()
    app.add_routes([web.post("/v1/chat/completions", server.chat), web.get("/counts", server.counts)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, backlog=4096)
    await site.start()
    assert runner.addresses
    print(f"PORT {runner.addresses[0][1]}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(parse()))
