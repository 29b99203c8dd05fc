"""Rows that join and leave at any time get what they get alone: the same tokens, and log-probabilities to 1e-4."""

from __future__ import annotations

import asyncio
import random
from functools import cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from distil.models.continuous.loop import StepLoop
from distil.models.continuous.row import Row
from distil.models.generate import Generation, generate
from distil.models.load import Loaded
from distil.records import Sampling
from tests.families import tiny_family
from tests.tiny import tiny_tokenizer

SYSTEM = [7 * i % 240 + 5 for i in range(40)]
"""A beginning that many prompts share."""


@cache
def family(name: str) -> Loaded:
    return Loaded(tiny_family(name), tiny_tokenizer(), name, torch.device("cpu"))


@cache
def alone(name: str, prompt: tuple[int, ...], tokens: int) -> Generation:
    return generate(family(name), [list(prompt)], Sampling(temperature=0, max_tokens=tokens))[0]


Asked = tuple[tuple[int, ...], int, int]
"""(prompt, tokens, how many turns of the event loop it comes later than the one before)."""


def together(loaded: Loaded, asked: list[Asked], size: int) -> tuple[list[Generation], StepLoop]:
    async def go() -> tuple[list[Generation], StepLoop]:
        loop = StepLoop(loaded, size=size, capacity=100, prefix_bytes=1 << 24)
        loop.start()
        tasks = []
        for prompt, tokens, later in asked:
            row = Row(list(prompt), Sampling(temperature=0, max_tokens=tokens), tokens)
            tasks.append(asyncio.create_task(loop.submit(row)))
            await asyncio.sleep(later * 0.002)
        found = list(await asyncio.gather(*tasks))
        loop.stop()
        return found, loop

    return asyncio.run(go())


def require_equal(name: str, asked: list[Asked], size: int) -> StepLoop:
    found, loop = together(family(name), asked, size)
    for (prompt, tokens, _), generation in zip(asked, found, strict=True):
        expected = alone(name, prompt, tokens)
        assert generation.token_ids == expected.token_ids and generation.text == expected.text
        assert generation.finish_reason == expected.finish_reason
        for mine, theirs in (
            (generation.token_logprobs, expected.token_logprobs),
            (generation.token_entropies, expected.token_entropies),
        ):
            torch.testing.assert_close(torch.tensor(mine), torch.tensor(theirs), atol=1e-4, rtol=0)
    return loop


prompts = st.tuples(
    st.booleans(),
    st.lists(st.integers(3, 250), min_size=1, max_size=70),
    st.sampled_from([1, 2, 7, 30]),
    st.integers(0, 3),
)


@pytest.mark.parametrize("name", ["llama", "qwen3", "gemma2", "gpt2"])
@settings(max_examples=4, deadline=None, derandomize=True)
@given(st.lists(prompts, min_size=2, max_size=9), st.integers(2, 5))
def test_any_interleaving_gives_what_a_row_gets_alone(
    name: str, drawn: list[tuple[bool, list[int], int, int]], size: int
) -> None:
    asked = [(tuple((SYSTEM if system else []) + ids), tokens, later) for system, ids, tokens, later in drawn]
    assert require_equal(name, asked, size).joins


@pytest.mark.parametrize("name", ["gemma3_text", "mistral", "falcon", "gpt_oss"])
def test_sliding_windows_and_shared_heads_stay_right(name: str) -> None:
    """The miniatures' windows are eight tokens."""
    asked = [((*SYSTEM[:n], n, n + 1), 25 - n // 2, n % 2) for n in (40, 3, 33, 12, 40, 1, 25)]
    assert require_equal(name, asked, 3).joins


@pytest.mark.parametrize("name", ["qwen3_5_text", "mamba2"])
def test_a_family_that_cannot_join_is_batched_and_equal(name: str) -> None:
    asked = [(tuple(SYSTEM[:n]), 6, 0) for n in (5, 9, 5, 12)]
    assert not require_equal(name, asked, 4).joins


def test_a_common_beginning_is_computed_once() -> None:
    """From the third prompt on: the second shows what is common."""
    asked = [((*SYSTEM, *(50 + 7 * n + i for i in range(6))), 3, 30) for n in range(6)]
    loop = require_equal("llama", asked, 4)
    assert loop.reused == 4 * len(SYSTEM)


def test_a_long_prompt_is_read_in_pieces_while_others_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distil.models.continuous.decoders.CHUNK", 16)
    long = tuple(random.Random(0).randrange(3, 250) for _ in range(150))
    require_equal("llama", [((5, 6, 7), 60, 5), (long, 5, 0), ((8, 9), 4, 0)], 4)
