"""Engine: a Hugging Face model in this process, for small students. Requests join and leave one running batch at every token.

A large model belongs behind vLLM (upstream.py).
"""

from __future__ import annotations

import asyncio
import copy
import functools
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from distil.errors import UserError
from distil.ids import content_id, folder_sha256
from distil.json_schema import requirement_of
from distil.models.answer import ends_in_thinking, hides_thinking, may_think
from distil.models.continuous.loop import LoopFull, LoopStopped, StepLoop
from distil.models.continuous.prefixes import BYTES
from distil.models.continuous.row import Row
from distil.models.generate import Generation
from distil.models.grammar import GrammarConstraint, Grammars, has_grammars
from distil.models.load import Loaded, context_length, load, resolve, stop_ids
from distil.models.render import render_prompt
from distil.progress import say
from distil.serve.engines.local_reply import TokenTexts, make_reply
from distil.serve.engines.local_stream import Outlet
from distil.serve.engines.piece import Piece
from distil.serve.wire import BadRequest, ChatReply, ChatRequest, EngineFailed, Overloaded, TooLong
from distil.terminal import show_exception


class _Prepared(NamedTuple):
    ids: list[int]
    constraint: GrammarConstraint | None
    """What the answer has to follow."""
    in_thinking: bool


class LocalEngine:
    """Loads `ref` (bundled/NAME, a folder or a hub id) when started.

    Same seed, same answer, whoever shares the batch.
    """

    def __init__(self, ref: str, *, batch_size: int = 64, queue: int = 2048, prefix_bytes: int = BYTES) -> None:
        """prefix_bytes: what the states of prompts' common beginnings may take; 0 = none are kept."""
        self.ref, self.identity = ref, ""
        self._batch_size, self._queue, self._prefix_bytes = batch_size, queue, prefix_bytes
        self._loop: StepLoop | None = None
        self._rendering: Loaded | None = None
        """With a tokenizer of its own: a fast one must not encode on one thread while it decodes on another."""
        self._texts: TokenTexts | None = None
        self._grammars: Grammars | None = None
        self._thinks = False
        """Whether it may think before it answers: then its first words must not be those of the required JSON."""
        self._hides = False
        """Whether only the whole answer says what of it is thinking: nothing is shown before the end."""
        self._context: int | None = None
        self._longest_token = 1
        """Characters of the longest token: so many times the context no prompt can have."""
        self._renderer = ThreadPoolExecutor(1, "distil-render")

    async def start(self) -> None:
        """Loads the model. Raises UserError when it can't be found."""
        await asyncio.to_thread(self._load)

    async def stop(self) -> None:
        """Lets the running requests finish; waiting ones fail with 503."""
        if self._loop is not None:
            await asyncio.to_thread(self._loop.stop)
        self._renderer.shutdown(wait=False, cancel_futures=True)

    async def ready(self) -> bool:
        """Whether the model is loaded."""
        return self._loop is not None

    async def answer(self, request: ChatRequest) -> ChatReply:
        """Raises BadRequest when the conversation can't be rendered or is too long."""
        row, in_thinking = await self._row(request)
        generation = await self._generated(row)
        return await self._reply(request, row, generation, in_thinking)

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Piece, None]:
        """The answer in pieces, while it is generated. When the iterator is closed, the row ends. Raises BadRequest."""
        row, in_thinking = await self._row(request)
        assert self._texts is not None, "start() makes them"
        texts = self._texts if request.logprobs else None
        outlet = Outlet(row, texts, whole=bool(request.tools) or self._hides, in_thinking=in_thinking)
        work = asyncio.create_task(self._generated(row))
        work.add_done_callback(lambda _: outlet.close())
        try:
            async for piece in outlet:
                yield piece
            reply = await self._reply(request, row, await work, in_thinking)
            yield outlet.last(reply)
        finally:
            work.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await work

    async def count_tokens(self, request: ChatRequest) -> int:
        """Tokens of the rendered conversation. Raises BadRequest."""
        return len((await self._prepared(request)).ids)

    def gauges(self) -> dict[str, float]:
        """How many requests wait and run, how many tokens a step gives, and what was not computed again."""
        loop = self._loop
        if loop is None:
            return {}
        return {
            "distil_engine_waiting": loop.waiting,
            "distil_engine_running": loop.running,
            "distil_engine_steps_total": loop.steps,
            "distil_engine_tokens_total": loop.tokens,
            "distil_engine_reused_prompt_tokens_total": loop.reused,
        }

    async def _generated(self, row: Row) -> Generation:
        assert self._loop is not None, "start() makes it"
        try:
            return await self._loop.submit(row)
        except LoopFull:
            raise Overloaded(self._loop.waiting) from None
        except LoopStopped:
            raise EngineFailed("The server is shutting down.", status=503) from None
        except Exception as error:
            show_exception(type(error), error, error.__traceback__)
            raise EngineFailed("The student could not answer; the gateway's log has the details.", status=500) from None

    async def _reply(self, request: ChatRequest, row: Row, generation: Generation, in_thinking: bool) -> ChatReply:
        assert self._rendering is not None and self._texts is not None
        make = functools.partial(
            make_reply, self._rendering, self._texts, request, row, generation, in_thinking=in_thinking
        )
        if request.logprobs or request.tools or self._thinks:  # these use the tokenizer
            return await asyncio.get_running_loop().run_in_executor(self._renderer, make)
        return make()

    async def _row(self, request: ChatRequest) -> tuple[Row, bool]:
        """What the step loop is asked, and whether the prompt ends inside of thinking. Raises BadRequest."""
        ids, constraint, in_thinking = await self._prepared(request)
        if not ids:
            raise BadRequest("The conversation has no tokens once it is rendered.", param="messages")
        sampling, room = request.sampling, None if self._context is None else self._context - len(ids)
        if room is not None and room < 1:
            raise TooLong(f"{self._holds()} the messages have {len(ids)}.")
        max_tokens = sampling.max_tokens if room is None else min(sampling.max_tokens, room)
        top = (sampling.top_logprobs or 0) if request.logprobs else 0
        return Row(ids, sampling, max_tokens, top=top, constraint=constraint), in_thinking

    async def _prepared(self, request: ChatRequest) -> _Prepared:
        """Made on a thread of its own: nobody else waits for a long text."""
        if self._context is not None:
            characters = sum(len(message.text) for message in request.messages)
            if characters > self._context * self._longest_token:
                raise TooLong(f"{self._holds()} the messages have {characters:,} characters.")
        try:
            return await asyncio.get_running_loop().run_in_executor(self._renderer, self._prepare, request)
        except UserError as error:
            raise BadRequest(str(error), param="messages") from None

    def _prepare(self, request: ChatRequest) -> _Prepared:
        assert self._rendering is not None, "start() loads it"
        tokenizer, constraint = self._rendering.tokenizer, None
        tools = None if request.tool_choice == "none" else request.tools
        ids = render_prompt(tokenizer, request.messages, tools=tools)
        if self._grammars is not None and request.response_format is not None and not self._thinks:
            constraint = self._grammars.constraint(requirement_of(request.response_format))
        return _Prepared(ids, constraint, self._thinks and ends_in_thinking(tokenizer, ids))

    def _holds(self) -> str:
        return f"This model's context holds {self._context} tokens, prompt and answer together;"

    def _load(self) -> None:
        loaded = load(self.ref)
        tokenizer = copy.deepcopy(loaded.tokenizer)
        self._rendering = replace(loaded, tokenizer=tokenizer)
        self._context = context_length(loaded.model)
        self._thinks = may_think(tokenizer)
        self._hides = self._thinks and hides_thinking(tokenizer)
        self._longest_token = max((len(token) for token in tokenizer.get_vocab()), default=1)
        self.identity = model_identity(self.ref)
        self._texts = TokenTexts(loaded)
        if has_grammars():  # at the start, since it holds everything up for seconds
            with suppress(ValueError):  # not a fast tokenizer
                self._grammars = Grammars(tokenizer, stop_ids(loaded.model, tokenizer))
        self._loop = StepLoop(loaded, size=self._batch_size, capacity=self._queue, prefix_bytes=self._prefix_bytes)
        self._loop.start()
        if not self._loop.joins:
            say(
                f"{self.ref}: requests can't join a running batch of this kind of model; each waits for the batch before it."
            )


def model_identity(ref: str) -> str:
    """Hash of a model: over the files of a folder (weights, tokenizer, template, configs), or over the name of a hub model."""
    folder = Path(resolve(ref))
    return f"sha256:{folder_sha256(folder)}" if folder.is_dir() else content_id("model", ref)
