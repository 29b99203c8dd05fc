"""local/PATH: a Hugging Face model in this process as the teacher; and what bundled.py shares with it.

Requests that wait at the same time are answered as one batch on a worker thread, so that 200 concurrent asks become a few
forward passes. Not the model code: that is distil/models/. Found through calls/providers/catalog.py.
"""

from __future__ import annotations

import asyncio
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

from distil.calls.faults import CallFailed, Fault
from distil.calls.providers.base import Parsed
from distil.calls.request import Request
from distil.errors import UserError
from distil.ids import canonical_json
from distil.records import Usage

BATCH_SIZE = 64
GATHER_S = 0.005  # how long the first of a batch waits for others
SAMPLED_BYTES = 1 << 20


class _Waiting(NamedTuple):
    request: Request
    future: asyncio.Future[Parsed]

    @property
    def alike(self) -> str:
        """Requests that one call of `generate` can answer together."""
        return canonical_json([self.request.sampling.model_dump(mode="json"), self.request.seed])


class LocalModelProvider:
    """Answers with a model that is loaded on first use. A relative folder starts at `root`; anything else is a hub id.

    With a seed, the same requests in the same batches give the same answers; batches depend on what arrives together.
    """

    def __init__(self, name: str, root: Path | None = None) -> None:
        folder = (root or Path.cwd()) / name
        self.ref = str(folder) if folder.is_dir() else name
        self._identity: str | None = None
        self._loaded: Any = None
        self._waiting: list[_Waiting] = []
        self._drainer: asyncio.Task[None] | None = None

    def identity(self) -> str:
        """The reference, and for a folder what its files hold: other weights give other answers."""
        if self._identity is None:
            folder = Path(self.ref)
            self._identity = folder_identity(folder) if folder.is_dir() else self.ref
        return self._identity

    async def answer(self, request: Request) -> Parsed:
        """Raises CallFailed when this prompt can't be rendered, UserError when the model can't be loaded."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Parsed] = loop.create_future()
        self._waiting.append(_Waiting(request, future))
        if self._drainer is None or self._drainer.done():
            self._drainer = loop.create_task(self._drain())
        return await future

    async def _drain(self) -> None:
        await asyncio.sleep(GATHER_S)
        while batch := self._take():
            try:
                results = await asyncio.to_thread(self._generate, [waiting.request for waiting in batch])
            except Exception as error:
                results = [error] * len(batch)
            for waiting, result in zip(batch, results, strict=True):
                if waiting.future.done():
                    continue
                if isinstance(result, Exception):
                    waiting.future.set_exception(result)
                else:
                    waiting.future.set_result(result)
            await asyncio.sleep(0)  # those who just got an answer may ask the next thing before the next batch starts

    def _take(self) -> list[_Waiting]:
        """The oldest request and those that can be answered together with it, up to a batch."""
        self._waiting = [waiting for waiting in self._waiting if not waiting.future.done()]
        if not self._waiting:
            return []
        alike = self._waiting[0].alike
        batch = [waiting for waiting in self._waiting if waiting.alike == alike][:BATCH_SIZE]
        taken = {id(waiting.future) for waiting in batch}
        self._waiting = [waiting for waiting in self._waiting if id(waiting.future) not in taken]
        return batch

    def _generate(self, requests: list[Request]) -> list[Parsed | Exception]:
        """Runs on the worker thread: one result or one error per request."""
        from distil.models.generate import generate
        from distil.models.load import load
        from distil.models.render import render_prompt

        if self._loaded is None:
            self._loaded = load(self.ref)
        results: dict[int, Parsed | Exception] = {}
        prompts: dict[int, list[int]] = {}
        for index, request in enumerate(requests):
            try:
                prompts[index] = render_prompt(self._loaded.tokenizer, request.messages, tools=request.tools)
            except UserError as error:
                results[index] = CallFailed(
                    str(error), request=request, fault=Fault("bad_request", str(error), None, False)
                )
        if prompts:
            made = generate(
                self._loaded, list(prompts.values()), requests[0].sampling, batch_size=BATCH_SIZE, seed=requests[0].seed
            )
            for index, generation in zip(prompts, made, strict=True):
                results[index] = self._parsed(requests[index], len(prompts[index]), generation)
        return [results[index] for index in range(len(requests))]

    def _parsed(self, request: Request, input_tokens: int, generation: Any) -> Parsed:
        logprobs = None
        if request.sampling.top_logprobs is not None:
            tokens = self._loaded.tokenizer.convert_ids_to_tokens(list(generation.token_ids))
            logprobs = [
                {"token": token, "token_id": token_id, "logprob": logprob}
                for token, token_id, logprob in zip(
                    tokens, generation.token_ids, generation.token_logprobs, strict=True
                )
            ]
        return Parsed(
            text=generation.text,
            finish_reason=generation.finish_reason,
            usage=Usage(input_tokens=input_tokens, output_tokens=len(generation.token_ids)),
            logprobs=logprobs,
        )


def folder_identity(folder: Path) -> str:
    """Hash over names, sizes and both ends of every file: cheap also for 100 GB of weights, and the same on every machine."""
    digest = blake2b(digest_size=16)
    for path in sorted(item for item in folder.rglob("*") if item.is_file()):
        size = path.stat().st_size
        digest.update(f"{path.relative_to(folder).as_posix()} {size}\n".encode())
        with path.open("rb") as file:
            digest.update(file.read(SAMPLED_BYTES))
            if size > SAMPLED_BYTES:
                file.seek(max(SAMPLED_BYTES, size - SAMPLED_BYTES))
                digest.update(file.read())
    return digest.hexdigest()
