"""The student in this process: rows that join and leave, against whole batches one after another (models/generate.py).

    python -m benchmarks.engine_batching bundled/student
    python -m benchmarks.engine_batching PATH --tokens 40 --many 16 --rounds 2

Contenders run in turn in one process; the best of the rounds counts. CPU seconds, but for the short request's wait, where both
numbers are of the same run. No HTTP (benchmarks/gateway.py).
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Awaitable, Callable

import torch
import transformers

from distil.models.continuous.loop import StepLoop
from distil.models.continuous.row import Row
from distil.models.generate import generate
from distil.models.load import Loaded, load
from distil.models.render import render_prompt
from distil.records import Message, Sampling
from distil.serve.engines.local import LocalEngine
from distil.serve.wire import ChatRequest

SYSTEM = "You sort messages of customers. Answer with JSON: intent, product, urgency. " + "Be exact and brief. " * 20


def messages(number: int, *, system: str = "Answer with JSON.") -> list[Message]:
    """A request of its own wording."""
    words = f"Order {number}: the kettle leaks, I want a refund of {number * 7} dollars, please answer number {number}."
    return [Message(role="system", content=system), Message(role="user", content=words)]


def prompts(loaded: Loaded, count: int, **options: str) -> list[list[int]]:
    """`count` prompts of similar length."""
    return [render_prompt(loaded.tokenizer, messages(number, **options)) for number in range(count)]


def greedy(ids: list[int], tokens: int) -> Row:
    """A row without randomness."""
    return Row(ids, Sampling(temperature=0, max_tokens=tokens), tokens)


def cpu(work: Callable[[], object]) -> float:
    """CPU seconds of all threads."""
    started = time.process_time()
    work()
    return time.process_time() - started


def with_loop(loaded: Loaded, work: Callable[[StepLoop], Awaitable[object]], prefix_bytes: int = 0) -> float:
    """CPU seconds of work with a running loop, without its start."""

    async def go() -> float:
        loop = StepLoop(loaded, size=64, capacity=1000, prefix_bytes=prefix_bytes)
        loop.start()
        started = time.process_time()
        await work(loop)
        spent = time.process_time() - started
        await asyncio.to_thread(loop.stop)
        return spent

    return asyncio.run(go())


async def together(loop: StepLoop, asked: list[list[int]], tokens: int) -> None:
    """All at once."""
    await asyncio.gather(*(loop.submit(greedy(ids, tokens)) for ids in asked))


async def in_turn(loop: StepLoop, asked: list[list[int]], tokens: int) -> None:
    """One after another."""
    for ids in asked:
        await loop.submit(greedy(ids, tokens))


def batching(loaded: Loaded, count: int, tokens: int, rounds: int) -> None:
    """One at a time, and many at once, beside one whole batch."""
    asked, sampling = prompts(loaded, count), Sampling(temperature=0, max_tokens=tokens)
    some = asked[:16]
    one, many, static = [], [], []
    for _ in range(rounds):
        one.append(with_loop(loaded, lambda loop: in_turn(loop, some, tokens)) * count / len(some))
        many.append(with_loop(loaded, lambda loop: together(loop, asked, tokens)))
        static.append(cpu(lambda: generate(loaded, asked, sampling)))
    print(
        f"{count} requests, {tokens} tokens: one at a time {min(one):.2f} s, at once {min(many):.2f} s "
        f"({min(one) / min(many):.1f} times), as one whole batch {min(static):.2f} s"
    )


def waiting(loaded: Loaded, tokens: int, rounds: int) -> None:
    """How long a request of 8 tokens takes behind four of many, as a share of theirs."""
    *long, short = prompts(loaded, 5)

    async def one_round() -> tuple[float, float]:
        loop = StepLoop(loaded, size=64, capacity=10, prefix_bytes=0)
        loop.start()
        started = time.monotonic()
        rows = [greedy(ids, tokens) for ids in long]
        for row in rows:  # their full length, whatever the model would say
            row.sampling = row.sampling.model_copy(update={"temperature": 2.0, "seed": 1})
        four = asyncio.create_task(asyncio.wait([asyncio.create_task(loop.submit(row)) for row in rows]))
        while not all(len(row.tokens) > 1 for row in rows):
            await asyncio.sleep(0.001)
        asked = time.monotonic()
        await loop.submit(greedy(short, 8))
        answered = time.monotonic() - asked
        await four
        whole = time.monotonic() - started
        await asyncio.to_thread(loop.stop)
        return answered, whole

    found = [asyncio.run(one_round()) for _ in range(rounds)]
    answered, whole = min(found, key=lambda pair: pair[0] / pair[1])
    print(f"8 tokens behind four times {tokens}: {answered:.2f} s of their {whole:.2f} s ({answered / whole:.0%})")


def common_beginnings(loaded: Loaded, tokens: int, rounds: int) -> None:
    """A long system prompt, its states kept and not kept."""
    asked = prompts(loaded, 12, system=SYSTEM)
    kept, computed = [], []
    for _ in range(rounds):
        kept.append(with_loop(loaded, lambda loop: in_turn(loop, asked, tokens), 256 << 20))
        computed.append(with_loop(loaded, lambda loop: in_turn(loop, asked, tokens)))
    print(
        f"12 prompts of {len(asked[0])} tokens with one system prompt, {tokens} tokens each: kept {min(kept):.2f} s, computed "
        f"again {min(computed):.2f} s ({min(computed) / min(kept):.1f} times)"
    )


def streaming(ref: str, tokens: int, rounds: int) -> None:
    """Pieces against the plain reply, in the engine."""

    async def go() -> tuple[float, float]:
        engine = LocalEngine(ref)
        await engine.start()
        asked = [
            ChatRequest("m", messages(n), Sampling(temperature=2.0, seed=n, max_tokens=tokens), stream=True)
            for n in range(8)
        ]

        async def pieces(request: ChatRequest) -> int:
            return len([piece async for piece in engine.stream(request)])

        plain, streamed = [], []
        for _ in range(rounds):
            started = time.process_time()
            await asyncio.gather(*map(engine.answer, asked))
            plain.append(time.process_time() - started)
            started = time.process_time()
            await asyncio.gather(*map(pieces, asked))
            streamed.append(time.process_time() - started)
        await engine.stop()
        return min(plain), min(streamed)

    plain, streamed = asyncio.run(go())
    print(f"8 streams at once: {streamed:.2f} s, plain {plain:.2f} s ({streamed / plain:.2f} times)")


def main() -> None:
    """Runs everything for one model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--tokens", type=int, default=60)
    parser.add_argument("--many", type=int, nargs="+", default=[16, 64])
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    print(
        f"torch {torch.__version__}, transformers {transformers.__version__}, {torch.get_num_threads()} threads, {options.model}"
    )
    loaded = load(options.model)
    for count in options.many:
        batching(loaded, count, options.tokens, options.rounds)
    waiting(loaded, 4 * options.tokens, options.rounds)
    common_beginnings(loaded, 4, options.rounds)
    streaming(options.model, options.tokens, options.rounds)


if __name__ == "__main__":
    main()
