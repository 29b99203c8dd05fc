"""Tokens written a second: the gateway's loop, whole batches (models/generate.py) and transformers' own generate, on any device.

    python benchmarks/decoding.py bundled/teacher [--device cuda --dtype bfloat16 --many 1 64 --tokens 128 --rounds 3]

Greedy, so all write the same texts; contenders run in turn in one process, and the best of the rounds counts (wall time). In
16-bit arithmetic a text may end elsewhere; tokens are counted where they are written.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Callable

import torch
import transformers

from distil.models.continuous.loop import StepLoop
from distil.models.continuous.row import Row
from distil.models.generate import generate
from distil.models.load import Loaded, load, stop_ids
from distil.models.render import render_prompt
from distil.records import Message, Sampling


def prompts(loaded: Loaded, count: int) -> list[list[int]]:
    """`count` requests of similar length, each of its own wording."""
    words = "Order {0}: the kettle leaks, I want a refund of {1} dollars. Explain in many words what I can do."
    return [
        render_prompt(loaded.tokenizer, [Message(role="user", content=words.format(number, 7 * number))])
        for number in range(count)
    ]


def by_loop(loaded: Loaded, asked: list[list[int]], tokens: int) -> int:
    """All at once through the loop that serves."""

    async def go() -> int:
        loop = StepLoop(loaded, size=64, capacity=1000, prefix_bytes=0)
        loop.start()
        rows = [Row(list(ids), Sampling(temperature=0, max_tokens=tokens), tokens) for ids in asked]
        found = await asyncio.gather(*map(loop.submit, rows))
        await asyncio.to_thread(loop.stop)
        return sum(len(one.token_ids) for one in found)

    return asyncio.run(go())


def by_batch(loaded: Loaded, asked: list[list[int]], tokens: int) -> int:
    """As evaluate and on-policy training write."""
    return sum(len(one.token_ids) for one in generate(loaded, asked, Sampling(temperature=0, max_tokens=tokens)))


def by_transformers(loaded: Loaded, asked: list[list[int]], tokens: int) -> int:
    """One padded batch of `model.generate`."""
    longest = max(map(len, asked))
    ends = sorted(stop_ids(loaded.model, loaded.tokenizer))
    pad = loaded.tokenizer.pad_token_id if loaded.tokenizer.pad_token_id is not None else ends[0]
    ids = torch.tensor([[pad] * (longest - len(one)) + one for one in asked], device=loaded.device)
    mask = torch.tensor([[0] * (longest - len(one)) + [1] * len(one) for one in asked], device=loaded.device)
    with torch.inference_mode():
        written = loaded.model.generate(
            input_ids=ids,
            attention_mask=mask,
            max_new_tokens=tokens,
            do_sample=False,
            eos_token_id=ends,
            pad_token_id=pad,
        )[:, longest:].tolist()
    return sum(next((at + 1 for at, token in enumerate(row) if token in ends), len(row)) for row in written)


CONTENDERS: dict[str, Callable[[Loaded, list[list[int]], int], int]] = {
    "the gateway's loop": by_loop,
    "whole batches": by_batch,
    "transformers": by_transformers,
}


def main() -> None:
    """Measures one model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--device")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--many", type=int, nargs="+", default=[1, 64])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    loaded = load(options.model, device=options.device, dtype=options.dtype)
    print(
        f"torch {torch.__version__}, transformers {transformers.__version__}, {torch.get_num_threads()} threads, "
        f"{options.model} in {loaded.model.dtype} on {loaded.device}"
    )
    for count in options.many:
        asked = prompts(loaded, count)
        best: dict[str, float] = {}
        for turn in range(options.rounds + 1):  # the first warms up
            for name, write in CONTENDERS.items():
                started = time.perf_counter()
                rate = write(loaded, asked, options.tokens) / (time.perf_counter() - started)
                best[name] = max(best.get(name, 0.0), rate if turn else 0.0)
        print(
            f"{count:>4} at once: " + ", ".join(f"{name} {rate:,.0f} tokens/s" for name, rate in best.items()),
            flush=True,
        )


if __name__ == "__main__":
    main()
