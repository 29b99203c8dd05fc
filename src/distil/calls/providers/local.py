"""local/PATH and bundled/NAME: a Hugging Face model in this process as the teacher. The model code is in distil/models/.

Concurrent requests are answered in batches, so that 200 of them become a few forward passes.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path

from distil.calls.faults import CallFailed, Fault
from distil.calls.providers.base import Parsed
from distil.calls.request import Request
from distil.errors import UserError
from distil.ids import canonical_json
from distil.models.answer import ends_in_thinking, model_answer
from distil.models.batcher import Batcher
from distil.models.generate import Generation, generate
from distil.models.load import Loaded, load, resolve
from distil.models.render import render_prompt
from distil.models.template import TemplateSettings
from distil.records import Usage

BATCH_SIZE = 64
SAMPLED_BYTES = 1 << 20


class LocalModelProvider:
    """Answers with a model that is loaded on first use. A relative folder starts at `root`; anything else is a hub id.

    With a seed, the same requests in the same batches give the same answers; batches depend on what arrives together.
    """

    def __init__(self, name: str, root: Path | None = None) -> None:
        folder = (root or Path.cwd()) / name
        self.ref = str(folder) if folder.is_dir() else name
        self._identity: str | None = None
        self._loaded: Loaded | None = None
        self._batcher: Batcher[Request, Parsed] = Batcher(self._generate, size=BATCH_SIZE, key=_batch_key)

    def identity(self) -> str:
        """The reference, or for a folder a hash of its files: other weights give other answers."""
        if self._identity is None:
            folder = Path(self.ref)
            self._identity = folder_identity(folder) if folder.is_dir() else self.ref
        return self._identity

    async def answer(self, request: Request) -> Parsed:
        """Raises CallFailed when this prompt can't be rendered, UserError when the model can't be loaded."""
        return await self._batcher.submit(request)

    def _generate(self, requests: Sequence[Request]) -> list[Parsed | Exception]:
        """Runs on the worker thread: one result or one error per request."""
        if self._loaded is None:
            self._loaded = load(self.ref, template=TemplateSettings(as_published=True))
        loaded = self._loaded
        results: dict[int, Parsed | Exception] = {}
        prompts: dict[int, list[int]] = {}
        for index, request in enumerate(requests):
            try:
                prompts[index] = render_prompt(loaded.tokenizer, request.messages, tools=request.tools)
            except UserError as error:
                results[index] = CallFailed(
                    str(error), request=request, fault=Fault("bad_request", str(error), None, False)
                )
        if prompts:
            first = requests[0]
            generations = generate(
                loaded, list(prompts.values()), first.sampling, batch_size=BATCH_SIZE, seed=first.seed
            )
            for index, generation in zip(prompts, generations, strict=True):
                results[index] = _parsed(loaded, requests[index], prompts[index], generation)
        return [results[index] for index in range(len(requests))]


def _batch_key(request: Request) -> str:
    """Requests with one key can be answered by one call of `generate`."""
    return canonical_json([request.sampling.model_dump(mode="json"), request.seed])


def _parsed(loaded: Loaded, request: Request, prompt: list[int], generation: Generation) -> Parsed:
    logprobs = None
    if request.sampling.top_logprobs is not None:
        ids = generation.token_ids
        tokens = loaded.tokenizer.convert_ids_to_tokens(list(ids))
        logprobs = [
            {"token": token, "token_id": token_id, "logprob": logprob}
            for token, token_id, logprob in zip(tokens, ids, generation.token_logprobs, strict=True)
        ]
    thinks = ends_in_thinking(loaded.tokenizer, prompt)
    answer = model_answer(loaded.tokenizer, generation, request.tools, in_thinking=thinks)
    return Parsed(
        text=answer.text,
        reasoning=answer.reasoning,
        tool_calls=answer.tool_calls,
        finish_reason=answer.finish_reason,
        usage=Usage(
            input_tokens=len(prompt),
            output_tokens=len(generation.token_ids),
            reasoning_tokens=min(answer.reasoning_tokens, len(generation.token_ids)),
        ),
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


class BundledProvider(LocalModelProvider):
    """bundled/teacher or bundled/student, so that the whole loop runs offline. Raises UserError for another name."""

    def __init__(self, name: str, root: Path | None = None) -> None:
        super().__init__(name, root)
        self.ref = f"bundled/{name}"
        self._identity = folder_identity(Path(resolve(self.ref)))
