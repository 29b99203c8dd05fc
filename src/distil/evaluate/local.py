"""The answers of a local model to the test prompts, its size and its speed; what an earlier evaluation made is not made again.

For the student, its base and a local copy of the teacher. Answers go to the project's cache batch by batch, one value per prompt
under the hash of prompt, weights, precision and sampling: a killed run goes on where it was, `evaluate.limit` reuses what is
there, and students of the same base share its answers. Not the scoring.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pydantic import ValidationError

from distil.ids import content_id
from distil.models.answer import ModelAnswer, ends_in_thinking, model_answer
from distil.models.generate import Generation, generate
from distil.models.load import Loaded, context_length, load, resolve
from distil.models.render import render_prompt
from distil.models.template import TemplateSettings
from distil.progress import bar, say
from distil.records import Example, Prediction, Record, Sampling
from distil.runs.cache import Cache
from distil.runs.manifest import stamp
from distil.runs.schemas.summary import Size, Speed


class Run(NamedTuple):
    """Everything that evaluating one local model gives."""

    predictions: list[Prediction]
    size: Size
    speed: Speed


class Candidate(NamedTuple):
    """A local model to evaluate."""

    label: str
    """base, or the student's name."""
    ref: str
    """What `load` takes."""
    dtype: str
    """As the config names it."""
    template: TemplateSettings | None = None
    """How its chat template is prepared; None for a trained student, whose folder holds it."""


class KeptSpeed(Record):
    """Size and speed of a model, as the cache keeps them."""

    size: Size
    """Parameters and bytes."""
    tokens_per_second: float | None
    """In batches."""
    prompts: int
    """Answers that the tokens per second were measured on."""
    latencies: dict[str, float]
    """Key of an answer -> seconds when it was asked alone."""
    where: str
    """cpu | cuda | mps."""

    @property
    def speed(self) -> Speed:
        """As the summary shows it."""
        return speed_of(list(self.latencies.values()), self.tokens_per_second, self.where)


def conditions(source: Candidate, sampling: Sampling, seed: int) -> str:
    """Changes whenever an answer could: weights, precision, sampling, and the seed where it matters."""
    where = Path(resolve(source.ref))
    weights = stamp(where).sha256 if where.is_dir() else source.ref
    drawn = seed if sampling.temperature else 0
    template = asdict(source.template) if source.template else None
    if template is not None:
        del template["opens_thinking"]  # younger than the answers that are kept; the same for all that are asked here
    return content_id("conditions", [weights, source.dtype, sampling.model_dump(mode="json"), drawn, template])


def answer_key(conditions: str, example: Example) -> str:
    """The cache's key of the answer to this prompt: by what the model reads, not by the prompt's name."""
    turns = [message.to_wire() for message in example.prompt_messages]
    reading = ["calls"] if example.tools else []  # answers from before calls were read are not these
    return content_id("answer", [conditions, turns, example.tools, *reading])


def speed_key(conditions: str) -> str:
    """The cache's key of size and speed."""
    return content_id("speed", conditions)


def answer(
    source: Candidate,
    examples: Sequence[Example],
    sampling: Sampling,
    cache: Cache,
    *,
    batch_size: int,
    latency_prompts: int,
    seed: int,
) -> Run:
    """All answers, and the first few again alone for the latency; the model is loaded only if something is missing.

    Raises UserError when it can't be loaded.
    """
    fixed = conditions(source, sampling, seed)
    keys = [answer_key(fixed, example) for example in examples]
    found = _kept_answers(cache, keys)
    missing = {key: example for key, example in zip(keys, examples, strict=True) if key not in found}
    if found and missing:
        say(f"{source.label}: {len(examples) - len(missing):,} answers are there, {len(missing):,} to go")
    measured = _kept_speed(cache, fixed)
    if missing or measured is None:
        loaded = load(source.ref, dtype=source.dtype, template=source.template)
        work = _Work(loaded, source.label, sampling, batch_size, seed)
        made, rate = work.answers(missing, cache)
        found |= made
        if measured is None or len(made) > measured.prompts:
            measured = work.measure(dict(zip(keys, examples, strict=True)), latency_prompts, measured, len(made), rate)
            cache.put({speed_key(fixed): measured.model_dump_json().encode()})
    predictions = [
        _named(found[key], example, source.label, measured.latencies.get(key))
        for key, example in zip(keys, examples, strict=True)
    ]
    return Run(predictions, measured.size, measured.speed)


def measure(
    source: Candidate,
    examples: Sequence[Example],
    sampling: Sampling,
    cache: Cache,
    *,
    batch_size: int,
    latency_prompts: int,
) -> tuple[Size, Speed]:
    """Size and speed alone, on at most two batches: for a local copy of the teacher, whose answers are already there."""
    some = examples[: 2 * batch_size]
    run = answer(source, some, sampling, cache, batch_size=batch_size, latency_prompts=latency_prompts, seed=0)
    return run.size, run.speed


class _Work:
    """A loaded model that answers prompts."""

    def __init__(self, loaded: Loaded, label: str, sampling: Sampling, batch_size: int, seed: int) -> None:
        self.loaded, self.label, self.sampling = loaded, label, sampling
        self.batch_size, self.seed = batch_size, seed

    def answers(self, missing: dict[str, Example], cache: Cache) -> tuple[dict[str, Prediction], float | None]:
        """Answers by key, kept batch by batch, and tokens per second. Longest prompts first."""
        prompts = {key: self._tokens(example) for key, example in missing.items()}
        made = self._unread(prompts, missing)
        cache.put({key: prediction.model_dump_json().encode() for key, prediction in made.items()})
        prompts = {key: ids for key, ids in prompts.items() if key not in made}
        order = sorted(prompts, key=lambda key: (-len(prompts[key]), key))
        tokens, seconds = 0, 0.0
        with bar(f"{self.label} answers", len(order), "prompts") as running:
            for start in range(0, len(order), self.batch_size):
                batch = order[start : start + self.batch_size]
                begun = time.perf_counter()
                generations = generate(
                    self.loaded,
                    [prompts[key] for key in batch],
                    self.sampling,
                    batch_size=self.batch_size,
                    on_progress=running.advance,
                    seed=self._seed_of(batch),
                )
                seconds += time.perf_counter() - begun
                tokens += sum(len(generation.token_ids) for generation in generations)
                done = {
                    key: self._read(g, prompts[key], missing[key]) for key, g in zip(batch, generations, strict=True)
                }
                cache.put({key: prediction.model_dump_json().encode() for key, prediction in done.items()})
                made |= done
        return made, tokens / seconds if seconds else None

    def _unread(self, prompts: dict[str, list[int]], examples: dict[str, Example]) -> dict[str, Prediction]:
        """Prompts that fill the model's context: no answer, as in production, rather than an end of the evaluation."""
        long = [key for key, ids in prompts.items() if not self._reads(ids)]
        if long:
            say(f"{self.label}: {len(long):,} prompts are longer than what it reads; each counts as no answer")
        made: dict[str, Prediction] = {}
        for key in long:
            made[key] = Prediction(
                id="",
                prompt_id=examples[key].prompt_id,
                model="",
                text="",
                finish_reason="context_length_exceeded",
                output_tokens=0,
            )
        return made

    def _reads(self, ids: Sequence[int]) -> bool:
        limit = context_length(self.loaded.model)
        return limit is None or len(ids) < limit

    def measure(
        self,
        examples: dict[str, Example],
        latency_prompts: int,
        before: KeptSpeed | None,
        made: int,
        rate: float | None,
    ) -> KeptSpeed:
        """Size and speed; what was measured before on fewer prompts keeps its latencies."""
        first = dict(list(examples.items())[:latency_prompts])
        if rate is None:  # killed between the last answer and this
            some = dict(list(examples.items())[: 2 * self.batch_size])
            rate, made = self.answers(some, Cache(None))[1], len(some)
        return KeptSpeed(
            size=size_of(self.loaded),
            tokens_per_second=rate,
            prompts=made,
            latencies=before.latencies if before else self._alone(first),
            where=self.loaded.device.type,
        )

    def _alone(self, examples: dict[str, Example]) -> dict[str, float]:
        """Seconds of each prompt answered by itself; one more is asked first, unmeasured, to warm up."""
        latencies: dict[str, float] = {}
        prompts = {key: ids for key, example in examples.items() if self._reads(ids := self._tokens(example))}
        if not prompts:
            return latencies
        generate(self.loaded, list(prompts.values())[:1], self.sampling, batch_size=1, seed=0)
        with bar(f"{self.label} latency", len(prompts), "prompts") as running:
            for key, ids in prompts.items():
                start = time.perf_counter()
                generate(self.loaded, [ids], self.sampling, batch_size=1, seed=0)
                latencies[key] = time.perf_counter() - start
                running.advance()
        return latencies

    def _tokens(self, example: Example) -> list[int]:
        return render_prompt(self.loaded.tokenizer, example.prompt_messages, tools=example.tools)

    def _read(self, generation: Generation, prompt: Sequence[int], example: Example) -> Prediction:
        tokenizer = self.loaded.tokenizer
        thinks = ends_in_thinking(tokenizer, prompt)
        return _prediction(generation, model_answer(tokenizer, generation, example.tools, in_thinking=thinks), example)

    def _seed_of(self, batch: Sequence[str]) -> int:
        """Of its own for each batch: the same batch draws the same answers, whether the run was interrupted before or not."""
        return int(content_id("seed", [self.seed, *batch]).removeprefix("seed_")[:15], 16)


def _prediction(generation: Generation, answer: ModelAnswer, example: Example) -> Prediction:
    """What is kept of a generated answer; `_named` adds whose it is."""
    return Prediction(
        id="",
        prompt_id=example.prompt_id,
        model="",
        text=answer.text,
        tool_calls=answer.tool_calls,
        finish_reason=answer.finish_reason,
        output_tokens=len(generation.token_ids),
        token_logprobs=[round(value, 6) for value in generation.token_logprobs],
        token_entropies=[round(value, 6) for value in generation.token_entropies],
    )


def _named(kept: Prediction, example: Example, label: str, latency_s: float | None) -> Prediction:
    """The answer under the model's name, with the id that belongs to it."""
    own = {
        "id": content_id("prediction", [example.prompt_id, label, kept.sample]),
        "prompt_id": example.prompt_id,
        "model": label,
        "latency_s": latency_s,
    }
    return kept.model_copy(update=own)


def _kept_answers(cache: Cache, keys: Sequence[str]) -> dict[str, Prediction]:
    """Answers that are in the cache and readable."""
    found: dict[str, Prediction] = {}
    for key, value in cache.get(keys).items():
        try:
            found[key] = Prediction.model_validate_json(value)
        except ValidationError:  # written by another version: answered again
            continue
    return found


def _kept_speed(cache: Cache, conditions: str) -> KeptSpeed | None:
    value = cache.get([speed_key(conditions)]).get(speed_key(conditions))
    try:
        return KeptSpeed.model_validate_json(value) if value is not None else None
    except ValidationError:  # written by another version: measured again
        return None


def size_of(loaded: Loaded) -> Size:
    """Parameters (tied weights once) and bytes in memory."""
    weights = list(loaded.model.parameters())
    return Size(
        parameters=sum(int(w.numel()) for w in weights), bytes=sum(int(w.numel() * w.element_size()) for w in weights)
    )


def speed_of(latencies: Sequence[float], tokens_per_second: float | None, where: str) -> Speed:
    """Percentiles of the latencies; None where there are none."""
    p50, p95 = (float(q) for q in np.quantile(latencies, [0.5, 0.95])) if latencies else (None, None)
    return Speed(
        tokens_per_second=tokens_per_second, latency_p50_s=p50, latency_p95_s=p95, requests=len(latencies), where=where
    )
