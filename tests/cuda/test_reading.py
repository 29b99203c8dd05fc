"""What a model says on a GPU is what it says on the CPU: batched, one by one, and while others come and go."""

from __future__ import annotations

import asyncio

import torch

from distil.models.continuous.loop import StepLoop
from distil.models.continuous.row import Row
from distil.models.generate import generate
from distil.models.load import load
from distil.records import Sampling

PROMPTS = [
    "My order 4711 has not arrived yet and I am angry about it.",
    "The blue kettle leaks water after two days, please send me a refund.",
    "Where is my parcel?",
    "Thank you, the lamp works well and the service was friendly.",
] * 4


def texts(device: str, dtype: str, batch_size: int) -> list[str]:
    loaded = load("bundled/teacher", dtype=dtype, device=device)
    ids = [
        loaded.tokenizer(f"<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\n").input_ids for text in PROMPTS
    ]
    return [one.text for one in generate(loaded, ids, Sampling(temperature=0, max_tokens=40), batch_size=batch_size)]


def test_greedy_answers_are_those_of_the_cpu(device: torch.device) -> None:
    expected = texts("cpu", "float32", 4)
    assert texts(str(device), "float32", 16) == expected
    assert texts(str(device), "float32", 1) == expected


def test_bfloat16_says_nearly_the_same(device: torch.device) -> None:
    """The dtype that `auto` takes on a GPU: a token may differ, a text in ten at most does."""
    pairs = zip(texts("cpu", "float32", 4), texts(str(device), "auto", 16), strict=True)
    assert sum(a == b for a, b in pairs) >= 12


def test_draws_repeat_with_their_seed(device: torch.device) -> None:
    loaded = load("bundled/student", device=str(device))
    ids = [loaded.tokenizer(text).input_ids for text in PROMPTS]
    sampling = Sampling(temperature=1.0, max_tokens=20, seed=5)
    first, second = (generate(loaded, ids, sampling) for _ in range(2))
    assert [one.token_ids for one in first] == [one.token_ids for one in second]


def test_answers_that_come_and_go_are_those_of_a_batch(device: torch.device) -> None:
    """The gateway's loop: prefixes are kept, rows join while others are written; greedy and drawn, in float32."""
    loaded = load("bundled/teacher", dtype="float32", device=str(device))
    ids = [
        loaded.tokenizer(f"<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\n").input_ids for text in PROMPTS
    ]
    expected = [one.token_ids for one in generate(loaded, ids, Sampling(temperature=0, max_tokens=30))]

    async def answer(loop: StepLoop, number: int, temperature: float) -> list[int]:
        await asyncio.sleep(0.01 * number)
        sampling = Sampling(temperature=temperature, max_tokens=30, seed=7)
        return (await loop.submit(Row(list(ids[number]), sampling, 30))).token_ids

    async def all_of(size: int, temperature: float) -> list[list[int]]:
        loop = StepLoop(loaded, size=size, capacity=50, prefix_bytes=1 << 24)
        loop.start()
        try:
            async with asyncio.timeout(120):
                return list(await asyncio.gather(*(answer(loop, n, temperature) for n in range(len(ids)))))
        finally:
            await asyncio.to_thread(loop.stop)

    assert asyncio.run(all_of(4, 0.0)) == expected
    assert asyncio.run(all_of(8, 1.0)) == asyncio.run(all_of(1, 1.0))
