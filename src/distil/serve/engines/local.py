"""Engine: a Hugging Face model in this process. Requests that come together are generated as one batch on one thread.

For small students and for the bundled teacher; a large model belongs behind vLLM (upstream.py). Made by engines.make_engine.
"""

from __future__ import annotations

import asyncio
import copy
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from distil.errors import UserError
from distil.ids import content_id, folder_sha256
from distil.models.batcher import Batcher, BatcherStopped, QueueFull
from distil.records import Usage
from distil.serve.wire import BadRequest, ChatReply, ChatRequest, EngineFailed, Overloaded


class _Job(NamedTuple):
    asked: ChatRequest
    ids: list[int]
    room: int
    """Most tokens of the answer: what was asked for, or what the context leaves."""
    key: tuple[Any, ...]
    """Jobs with one key can share a batch."""


class LocalEngine:
    """Loads `ref` (bundled/NAME, a folder or a hub id) when started and answers batch by batch.

    Same seed, same answer: a sampled request with a seed is generated alone, since a batch shares its random numbers.
    """

    def __init__(
        self, ref: str, *, batch_size: int = 64, queue: int = 2048, dtype: str = "auto", device: str | None = None
    ):
        self.ref, self.identity = ref, ""
        self._batch_size, self._dtype, self._device = batch_size, dtype, device
        self._loaded: Any = None
        self._tokenizer: Any = None
        self._context: int | None = None
        self._lone = itertools.count()
        self._batcher: Batcher[_Job, ChatReply] = Batcher(
            self._generate, size=batch_size, capacity=queue, key=lambda job: job.key
        )

    async def start(self) -> None:
        """Loads the model. Raises UserError when there is none."""
        await asyncio.to_thread(self._load)

    async def stop(self) -> None:
        """Lets the running batch finish; waiting requests fail with 503."""
        await self._batcher.stop()

    async def answer(self, asked: ChatRequest) -> ChatReply:
        """Raises BadRequest when the conversation can't be rendered or is too long."""
        from distil.models.render import render_prompt

        try:
            ids = render_prompt(self._tokenizer, asked.messages, tools=asked.tools)
        except UserError as error:
            raise BadRequest(str(error), param="messages") from None
        if not ids:
            raise BadRequest("The conversation has no tokens once it is rendered.", param="messages")
        room = asked.sampling.max_tokens
        if self._context is not None:
            room = min(room, self._context - len(ids))
            if room < 1:
                raise BadRequest(
                    f"This model reads at most {self._context} tokens together with its answer; the messages have {len(ids)}.",
                    param="messages",
                    code="context_length_exceeded",
                )
        sampling = asked.sampling
        key: tuple[Any, ...] = (sampling.temperature, sampling.top_p, tuple(sampling.stop or ()))
        if sampling.seed is not None and sampling.temperature > 0:
            key = (*key, sampling.seed, next(self._lone))
        try:
            return await self._batcher.submit(_Job(asked, ids, room, key))
        except QueueFull:
            raise Overloaded(self._batcher.waiting) from None
        except BatcherStopped:
            raise EngineFailed("The server is shutting down.", status=503) from None

    def gauges(self) -> dict[str, float]:
        """How many wait, and how large batches are."""
        return {
            "distil_engine_waiting": self._batcher.waiting,
            "distil_engine_batches_total": self._batcher.batches,
            "distil_engine_batched_requests_total": self._batcher.items,
        }

    def _load(self) -> None:
        from distil.models.load import context_length, load

        self._loaded = load(self.ref, dtype=self._dtype, device=self._device)
        # a fast tokenizer must not encode on the event loop while it decodes on the worker thread ("Already borrowed")
        self._tokenizer = copy.deepcopy(self._loaded.tokenizer)
        self._context = context_length(self._loaded.model)
        self.identity = model_identity(self.ref)

    def _generate(self, jobs: Sequence[_Job]) -> list[ChatReply | Exception]:
        """Runs on the worker thread. Rows of one batch share max_tokens, so longer ones are cut and cut-off ones asked again."""
        from distil.models.generate import generate

        longest = max(len(job.ids) for job in jobs)
        shared = max(job.room for job in jobs)
        if self._context is not None:
            shared = min(shared, self._context - longest)
        sampling = jobs[0].asked.sampling.model_copy(update={"max_tokens": shared})
        made = generate(self._loaded, [job.ids for job in jobs], sampling, batch_size=self._batch_size)
        results: list[ChatReply | Exception] = []
        for job, generation in zip(jobs, made, strict=True):
            try:
                if (
                    generation.finish_reason == "length" and shared < job.room
                ):  # the longest prompt left it too little room
                    alone = sampling.model_copy(update={"max_tokens": job.room})
                    (generation,) = generate(self._loaded, [job.ids], alone)
                results.append(self._answered(job, generation))
            except Exception as error:
                results.append(EngineFailed(f"{type(error).__name__}: {error}", status=500))
        return results

    def _answered(self, job: _Job, generation: Any) -> ChatReply:
        text, finish = generation.text, generation.finish_reason
        tokens = list(generation.token_ids)
        if len(tokens) > job.room:
            tokens = tokens[: job.room]
            text, finish = self._loaded.tokenizer.decode(tokens, skip_special_tokens=True), "length"
        logprobs = generation.token_logprobs[: len(tokens)]
        return ChatReply(
            text=text,
            finish_reason=finish,
            usage=Usage(input_tokens=len(job.ids), output_tokens=len(tokens)),
            token_logprobs=logprobs,
            token_entropies=generation.token_entropies[: len(tokens)],
            logprobs=self._content(job, tokens, logprobs) if job.asked.logprobs else None,
        )

    def _content(self, job: _Job, tokens: list[int], logprobs: list[float]) -> list[dict[str, Any]]:
        """OpenAI's `logprobs.content`; the end token is left out, as it has no text."""
        from distil.models.load import stop_ids

        top = job.asked.sampling.top_logprobs or 0
        ranked = self._top(job.ids, tokens, top) if top else [[] for _ in tokens]
        ends = stop_ids(self._loaded.model, self._loaded.tokenizer)
        return [
            self._token(token, logprob) | {"top_logprobs": [self._token(t, p) for t, p in best]}
            for token, logprob, best in zip(tokens, logprobs, ranked, strict=True)
            if token not in ends
        ]

    def _token(self, token: int, logprob: float) -> dict[str, Any]:
        text = self._loaded.tokenizer.decode([token])
        whole = "\ufffd" not in text  # part of a character has no text of its own
        return {"token": text, "logprob": logprob, "bytes": list(text.encode()) if whole else None}

    def _top(self, prompt: list[int], tokens: list[int], count: int) -> list[list[tuple[int, float]]]:
        """The `count` most probable tokens at each step, by one forward pass over prompt and answer."""
        import torch

        with torch.inference_mode():
            ids = torch.tensor([[*prompt, *tokens]], device=self._loaded.device)  # (1, P + T)
            logits = (
                self._loaded.model(input_ids=ids).logits[0, len(prompt) - 1 : -1].float()
            )  # (T, V): t predicts t + 1
            values, indices = torch.log_softmax(logits, dim=-1).topk(min(count, logits.shape[-1]), dim=-1)
        return [list(zip(i, v, strict=True)) for i, v in zip(indices.tolist(), values.tolist(), strict=True)]


def model_identity(ref: str) -> str:
    """Hash of a model: over the files of a folder (weights, tokenizer, template, configs), or over the name of a hub model."""
    from distil.models.load import resolve

    folder = Path(resolve(ref))
    return f"sha256:{folder_sha256(folder)}" if folder.is_dir() else content_id("model", ref)
