"""The step loop: each row has its own settings and its own faults; a caller that leaves frees its place."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest
import torch

from distil.models.continuous.loop import LoopFull, LoopStopped, StepLoop
from distil.models.continuous.row import Row
from distil.models.generate import Generation, generate
from distil.models.load import Loaded
from distil.records import Sampling
from tests.tiny import tiny_model, tiny_tokenizer

T = TypeVar("T")
PROMPT = [40, 41, 42, 43]


@pytest.fixture(scope="module")
def loaded() -> Loaded:
    return Loaded(tiny_model(), tiny_tokenizer(), "tiny", torch.device("cpu"))


def with_loop(loaded: Loaded, work: Callable[[StepLoop], Awaitable[T]], *, size: int = 8, capacity: int = 50) -> T:
    async def go() -> T:
        loop = StepLoop(loaded, size=size, capacity=capacity, prefix_bytes=0)
        loop.start()
        try:
            async with asyncio.timeout(60):
                return await work(loop)
        finally:
            await asyncio.to_thread(loop.stop)

    return asyncio.run(go())


def row(tokens: int = 20, ids: list[int] = PROMPT, **sampling: object) -> Row:
    made = Sampling.model_validate({"temperature": 0.0, "max_tokens": tokens} | sampling)
    return Row(list(ids), made, tokens)


def test_each_row_has_its_own_sampling(loaded: Loaded) -> None:
    """Greedy, hot, seeded and with a stop sequence, in one batch."""
    greedy = generate(loaded, [PROMPT], Sampling(temperature=0, max_tokens=20))[0]
    stop = greedy.text[len(greedy.text) // 2 :][:3]

    async def work(loop: StepLoop) -> list[Generation]:
        rows = [row(), row(temperature=1.5, seed=3), row(temperature=1.5, seed=3), row(temperature=1.5, seed=4)]
        rows += [row(stop=[stop]), row(tokens=3), row(temperature=1.0, top_p=1e-9), row(temperature=1e-300)]
        return list(await asyncio.gather(*map(loop.submit, rows)))

    plain, hot, same, other, stopped, short, narrow, cold = with_loop(loaded, work)
    assert plain.token_ids == greedy.token_ids == narrow.token_ids == cold.token_ids
    assert hot.token_ids == same.token_ids != other.token_ids
    assert stopped.text == greedy.text[: greedy.text.index(stop)] and stopped.finish_reason == "stop"
    assert short.token_ids == greedy.token_ids[:3] and short.finish_reason == "length"


def test_a_seed_does_not_depend_on_who_shares_the_batch(loaded: Loaded) -> None:
    async def alone(loop: StepLoop) -> Generation:
        return await loop.submit(row(temperature=1.2, top_p=0.9, seed=11))

    async def crowd(loop: StepLoop) -> Generation:
        others = [asyncio.create_task(loop.submit(row(temperature=0.7, ids=[n, 9, 9]))) for n in range(5, 11)]
        found = await loop.submit(row(temperature=1.2, top_p=0.9, seed=11))
        await asyncio.gather(*others)
        return found

    assert with_loop(loaded, alone).token_ids == with_loop(loaded, crowd).token_ids


class _Broken:
    """A constraint that fails at its third token."""

    def __init__(self) -> None:
        self.left = 3

    def mask(self, logits: torch.Tensor) -> torch.Tensor:
        self.left -= 1
        if self.left == 0:
            raise ZeroDivisionError("a bad row")
        return logits

    def accept(self, token: int) -> None:
        """Takes anything."""


def test_a_row_that_fails_harms_no_other(loaded: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    """A constraint that raises, logits that are NaN, a callback that raises."""
    greedy = generate(loaded, [PROMPT], Sampling(temperature=0, max_tokens=20))[0]
    broken, spoiled, shouting = row(), row(ids=[77, 78]), row()
    broken.constraint = _Broken()

    def shout(row: Row) -> None:
        raise RuntimeError("nobody listens")

    shouting.on_text = shout
    from distil.models.continuous import loop as module

    honest = module.draw_rows

    def with_nan(rows: list[Row], logits: torch.Tensor) -> object:
        for i, each in enumerate(rows):
            if each is spoiled and len(each.tokens) == 2:
                logits[i] = torch.nan
        return honest(rows, logits)

    monkeypatch.setattr(module, "draw_rows", with_nan)

    async def work(loop: StepLoop) -> list[Generation | BaseException]:
        rows = [row(), broken, spoiled, shouting, row(tokens=9)]
        first = await asyncio.gather(*map(loop.submit, rows), return_exceptions=True)
        return [*first, await loop.submit(row())]

    good, bad, nan, loud, short, later = with_loop(loaded, work)
    assert isinstance(good, Generation) and isinstance(short, Generation) and isinstance(later, Generation)
    assert good.token_ids == greedy.token_ids == later.token_ids and short.token_ids == greedy.token_ids[:9]
    assert isinstance(bad, ZeroDivisionError) and "NaN" in str(nan) and isinstance(loud, RuntimeError)


def test_a_failing_model_fails_its_rows_and_no_later_ones(loaded: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(loop: StepLoop) -> tuple[BaseException | Generation, Generation]:
        decoder = loop._decoder
        assert decoder is not None
        with monkeypatch.context() as patch:
            patch.setattr(decoder, "_forward", lambda *_: 1 / 0)
            (failed,) = await asyncio.gather(loop.submit(row()), return_exceptions=True)
        return failed, await loop.submit(row())

    failed, later = with_loop(loaded, work)
    assert isinstance(failed, ZeroDivisionError) and len(later.token_ids) > 0


def test_a_caller_that_leaves_frees_its_place(loaded: Loaded) -> None:
    """Also while it waits. What is beyond the queue is refused at once."""

    async def work(loop: StepLoop) -> tuple[int, Generation]:
        ids = [200, 201]
        long: list[asyncio.Task[Generation]] = []
        for n in range(3):
            long.append(asyncio.create_task(loop.submit(row(tokens=240, ids=ids, temperature=2.0, seed=n))))
            while loop.running + loop.waiting < n + 1 or (n < 2 and loop.waiting):
                await asyncio.sleep(0.001)
        with pytest.raises(LoopFull):
            await loop.submit(row())
        for task in long:
            task.cancel()
        await asyncio.gather(*long, return_exceptions=True)
        while loop.waiting:
            await asyncio.sleep(0.001)
        return loop.tokens, await loop.submit(row(tokens=4))

    tokens, answer = with_loop(loaded, work, size=2, capacity=1)
    assert len(answer.token_ids) == 4 and tokens < 2 * 240


def test_stopping_ends_what_runs_and_fails_what_waits(loaded: Loaded) -> None:
    async def work(loop: StepLoop) -> list[Generation | BaseException]:
        tasks = [asyncio.create_task(loop.submit(row(tokens=30))) for _ in range(3)]
        while loop.running < 1:
            await asyncio.sleep(0.001)
        await asyncio.to_thread(loop.stop)
        with pytest.raises(LoopStopped):
            await loop.submit(row())
        return list(await asyncio.gather(*tasks, return_exceptions=True))

    first, *others = with_loop(loaded, work, size=1)
    assert isinstance(first, Generation) and all(isinstance(other, LoopStopped) for other in others)
