"""Engine: a Hugging Face model in this process, for small students. Concurrent requests are generated in batches on one thread.

A large model belongs behind vLLM (upstream.py).
"""

from __future__ import annotations

import asyncio
import copy
import functools
import itertools
from collections.abc import Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from distil.errors import UserError
from distil.ids import content_id, folder_sha256
from distil.models.answer import model_answer
from distil.models.batcher import Batcher, BatcherStopped, QueueFull
from distil.models.generate import Generation, generate
from distil.models.load import Loaded, context_length, load, resolve, stop_ids
from distil.models.render import render_prompt
from distil.records import Usage
from distil.serve.wire import BadRequest, ChatReply, ChatRequest, EngineFailed, JsonObject, Overloaded, TooLong
from distil.terminal import show_exception

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class _Job(NamedTuple):
    request: ChatRequest
    ids: list[int]
    max_tokens: int
    """What the request allows, or what the context leaves."""
    key: Hashable
    """Jobs with one key can share a batch."""


class LocalEngine:
    """Loads `ref` (bundled/NAME, a folder or a hub id) when started and answers batch by batch.

    Same seed, same answer: a sampled request with a seed is generated alone, since a batch shares its random numbers.
    """

    def __init__(self, ref: str, *, batch_size: int = 64, queue: int = 2048) -> None:
        self.ref, self.identity = ref, ""
        self._batch_size = batch_size
        self._loaded: Loaded | None = None
        self._tokenizer: PreTrainedTokenizerBase | None = None
        self._context: int | None = None
        self._longest_token = 1
        """Characters of the longest token: so many times the context no prompt can have."""
        self._renderer = ThreadPoolExecutor(1, "distil-render")
        self._unshared = itertools.count()
        self._batcher: Batcher[_Job, ChatReply] = Batcher(
            self._generate, size=batch_size, capacity=queue, key=lambda job: job.key
        )

    async def start(self) -> None:
        """Loads the model. Raises UserError when it can't be found."""
        await asyncio.to_thread(self._load)

    async def stop(self) -> None:
        """Lets the running batch finish; waiting requests fail with 503."""
        await self._batcher.stop()
        self._renderer.shutdown(wait=False, cancel_futures=True)

    async def answer(self, request: ChatRequest) -> ChatReply:
        """Raises BadRequest when the conversation can't be rendered or is too long."""
        ids = await self._render(request)
        if not ids:
            raise BadRequest("The conversation has no tokens once it is rendered.", param="messages")
        sampling = request.sampling
        max_tokens = sampling.max_tokens
        if self._context is not None:
            max_tokens = min(max_tokens, self._context - len(ids))
            if max_tokens < 1:
                raise TooLong(f"{self._holds()} the messages have {len(ids)}.")
        key: tuple[Hashable, ...] = (sampling.temperature, sampling.top_p, tuple(sampling.stop or ()))
        if sampling.seed is not None and sampling.temperature > 0:
            key = (*key, sampling.seed, next(self._unshared))
        try:
            return await self._batcher.submit(_Job(request, ids, max_tokens, key))
        except QueueFull:
            raise Overloaded(self._batcher.waiting) from None
        except BatcherStopped:
            raise EngineFailed("The server is shutting down.", status=503) from None

    async def count_tokens(self, request: ChatRequest) -> int:
        """Tokens of the rendered conversation. Raises BadRequest."""
        return len(await self._render(request))

    async def ready(self) -> bool:
        """Whether the model is loaded."""
        return self._loaded is not None

    def _holds(self) -> str:
        return f"This model's context holds {self._context} tokens, prompt and answer together;"

    async def _render(self, request: ChatRequest) -> list[int]:
        """The prompt's token ids, made on a thread of their own: nobody else waits for a long text. Raises BadRequest."""
        assert self._tokenizer is not None, "start() loads it"
        if self._context is not None:
            characters = sum(len(message.text) for message in request.messages)
            if characters > self._context * self._longest_token:
                raise TooLong(f"{self._holds()} the messages have {characters:,} characters.")
        render = functools.partial(render_prompt, self._tokenizer, request.messages, tools=request.tools)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._renderer, render)
        except UserError as error:
            raise BadRequest(str(error), param="messages") from None

    def gauges(self) -> dict[str, float]:
        """How many requests wait, and how large batches are."""
        return {
            "distil_engine_waiting": self._batcher.waiting,
            "distil_engine_batches_total": self._batcher.batches,
            "distil_engine_batched_requests_total": self._batcher.items,
        }

    def _load(self) -> None:
        self._loaded = load(self.ref)
        # a fast tokenizer must not encode on the event loop while it decodes on the worker thread ("Already borrowed")
        self._tokenizer = copy.deepcopy(self._loaded.tokenizer)
        self._context = context_length(self._loaded.model)
        self._longest_token = max((len(token) for token in self._tokenizer.get_vocab()), default=1)
        self.identity = model_identity(self.ref)

    def _generate(self, jobs: Sequence[_Job]) -> list[ChatReply | Exception]:
        """Runs on the worker thread. A batch shares max_tokens: longer answers are cut, answers that it cut short are redone."""
        assert self._loaded is not None
        longest = max(len(job.ids) for job in jobs)
        shared = max(job.max_tokens for job in jobs)
        if self._context is not None:
            shared = min(shared, self._context - longest)
        sampling = jobs[0].request.sampling.model_copy(update={"max_tokens": shared})
        if sampling.temperature == 0:
            sampling = sampling.model_copy(update={"seed": None})  # not a part of the key, and without effect
        generations = generate(self._loaded, [job.ids for job in jobs], sampling, batch_size=self._batch_size)
        results: list[ChatReply | Exception] = []
        for job, generation in zip(jobs, generations, strict=True):
            try:
                # beside a longer prompt the context left this answer too few tokens
                if generation.finish_reason == "length" and shared < job.max_tokens:
                    alone = sampling.model_copy(update={"max_tokens": job.max_tokens})
                    (generation,) = generate(self._loaded, [job.ids], alone)
                results.append(_reply(self._loaded, job, generation))
            except Exception as error:
                show_exception(type(error), error, error.__traceback__)
                results.append(EngineFailed(f"{type(error).__name__}: {error}", status=500))
        return results


def _reply(loaded: Loaded, job: _Job, generation: Generation) -> ChatReply:
    answer = model_answer(loaded.tokenizer, generation, job.request.tools)
    text, finish, tokens = answer.text, answer.finish_reason, list(generation.token_ids)
    calls = answer.tool_calls
    if len(tokens) > job.max_tokens:
        tokens = tokens[: job.max_tokens]
        text, finish, calls = loaded.decode(tokens, skip_special_tokens=True), "length", None
    logprobs = generation.token_logprobs[: len(tokens)]
    return ChatReply(
        text=text,
        finish_reason=finish,
        tool_calls=calls,
        usage=Usage(input_tokens=len(job.ids), output_tokens=len(tokens)),
        token_logprobs=logprobs,
        token_entropies=generation.token_entropies[: len(tokens)],
        logprobs=_logprobs_content(loaded, job, tokens, logprobs) if job.request.logprobs else None,
    )


def _logprobs_content(loaded: Loaded, job: _Job, tokens: list[int], logprobs: list[float]) -> list[JsonObject]:
    """OpenAI's `logprobs.content`; the end token is left out, as it has no text."""
    top = job.request.sampling.top_logprobs or 0
    ranked = _top_tokens(loaded, job.ids, tokens, top) if top else [[] for _ in tokens]
    ends = stop_ids(loaded.model, loaded.tokenizer)
    return [
        _token_entry(loaded, token, logprob) | {"top_logprobs": [_token_entry(loaded, t, p) for t, p in best]}
        for token, logprob, best in zip(tokens, logprobs, ranked, strict=True)
        if token not in ends
    ]


def _token_entry(loaded: Loaded, token: int, logprob: float) -> JsonObject:
    text = loaded.decode([token])
    whole = "\ufffd" not in text  # a token that is part of a character has no text
    return {"token": text, "logprob": logprob, "bytes": list(text.encode()) if whole else None}


def _top_tokens(loaded: Loaded, prompt: list[int], tokens: list[int], count: int) -> list[list[tuple[int, float]]]:
    """The `count` most probable tokens at each step, by one forward pass over prompt and answer."""
    import torch

    with torch.inference_mode():
        ids = torch.tensor([[*prompt, *tokens]], device=loaded.device)  # (1, P + T)
        logits = loaded.model(input_ids=ids).logits[0, len(prompt) - 1 : -1].float()  # (T, V): t predicts t + 1
        values, indices = torch.log_softmax(logits, dim=-1).topk(min(count, logits.shape[-1]), dim=-1)
    return [list(zip(i, v, strict=True)) for i, v in zip(indices.tolist(), values.tolist(), strict=True)]


def model_identity(ref: str) -> str:
    """Hash of a model: over the files of a folder (weights, tokenizer, template, configs), or over the name of a hub model."""
    folder = Path(resolve(ref))
    return f"sha256:{folder_sha256(folder)}" if folder.is_dir() else content_id("model", ref)
