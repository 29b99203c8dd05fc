"""The answers of a local model to the test prompts, its size and its speed; or those that an earlier evaluation left.

For the student, its base and a local copy of the teacher. Not the scoring.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from distil.errors import UserError
from distil.ids import content_id
from distil.models.generate import generate
from distil.models.load import Loaded, load, resolve
from distil.models.render import render_prompt
from distil.progress import bar
from distil.records import Example, Prediction, Sampling
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_json, read_records
from distil.runs.manifest import stamp
from distil.runs.schemas.summary import Size, Speed, read_summary


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


def prediction_key(source: Candidate, examples: Sequence[Example], sampling: Sampling, seed: int) -> str:
    """Changes whenever the answers could: weights, precision, prompts, sampling, seed."""
    where = Path(resolve(source.ref))
    weights = stamp(where).sha256 if where.is_dir() else source.ref
    asked = [[example.prompt_id, example.tools] for example in examples]
    return content_id(
        "predictions",
        [weights, source.dtype, asked, sampling.model_dump(mode="json"), seed if sampling.temperature else 0],
    )


def earlier(project: Project, key: str, label: str) -> Run | None:
    """The answers that an evaluation of any student noted under this key, or None."""
    for manifest in sorted(project.stage("evaluate").glob("*/manifest.json")):
        noted: dict[str, str] = read_json(manifest).get("notes", {}).get("prediction_keys", {})
        folder = manifest.parent
        found = next((model for model, other in noted.items() if other == key), None)
        if found is None or not all((folder / name).exists() for name in ("predictions.jsonl", "summary.json")):
            continue
        try:
            summary = read_summary(folder / "summary.json")
        except UserError:  # of an older version: made again
            continue
        rows = [p for p in read_records(folder / "predictions.jsonl", Prediction) if p.model == found]
        if rows and found in summary.size and found in summary.speed:
            return Run([named(row, label) for row in rows], summary.size[found], summary.speed[found])
    return None


def earlier_speed(project: Project, key: str) -> tuple[Size, Speed] | None:
    """Size and speed of a local teacher that an evaluation of another student measured under this key, or None."""
    for manifest in sorted(project.stage("evaluate").glob("*/manifest.json")):
        if read_json(manifest).get("notes", {}).get("teacher_key") != key:
            continue
        try:
            summary = read_summary(manifest.parent / "summary.json")
        except UserError:  # gone, or of an older version: measured again
            continue
        if "teacher" in summary.size and "teacher" in summary.speed:
            return summary.size["teacher"], summary.speed["teacher"]
    return None


def named(prediction: Prediction, label: str) -> Prediction:
    """The same answer under another model's name, with the id that belongs to it."""
    key = [prediction.prompt_id, label, prediction.sample]
    return prediction.model_copy(update={"model": label, "id": content_id("prediction", key)})


def answer(
    source: Candidate,
    examples: Sequence[Example],
    sampling: Sampling,
    *,
    batch_size: int,
    latency_prompts: int,
    seed: int,
) -> Run:
    """Loads the model, answers all prompts in batches and the first few alone. Raises UserError when it can't be loaded."""
    loaded = load(source.ref, dtype=source.dtype)
    prompts = [render_prompt(loaded.tokenizer, e.prompt_messages, tools=e.tools) for e in examples]
    with bar(f"{source.label} answers", len(prompts), "prompts") as running:
        start = time.perf_counter()
        generations = generate(loaded, prompts, sampling, batch_size=batch_size, on_progress=running.advance, seed=seed)
        seconds = time.perf_counter() - start
    predictions = [
        Prediction(
            id=content_id("prediction", [example.prompt_id, source.label, 0]),
            prompt_id=example.prompt_id,
            model=source.label,
            text=generation.text,
            finish_reason=generation.finish_reason,
            output_tokens=len(generation.token_ids),
            token_logprobs=[round(value, 6) for value in generation.token_logprobs],
            token_entropies=[round(value, 6) for value in generation.token_entropies],
        )
        for example, generation in zip(examples, generations, strict=True)
    ]
    latencies = _alone(loaded, prompts[:latency_prompts], sampling, source.label)
    for position, latency in enumerate(latencies):
        predictions[position] = predictions[position].model_copy(update={"latency_s": latency})
    tokens = sum(len(generation.token_ids) for generation in generations)
    return Run(
        predictions, size_of(loaded), speed_of(latencies, tokens / seconds if seconds else None, loaded.device.type)
    )


def measure(
    source: Candidate, examples: Sequence[Example], sampling: Sampling, *, batch_size: int, latency_prompts: int
) -> tuple[Size, Speed]:
    """Size and speed alone, on at most two batches: for a local copy of the teacher, whose answers are already there."""
    run = answer(
        source, examples[: 2 * batch_size], sampling, batch_size=batch_size, latency_prompts=latency_prompts, seed=0
    )
    return run.size, run.speed


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


def _alone(loaded: Loaded, prompts: Sequence[list[int]], sampling: Sampling, label: str) -> list[float]:
    """Seconds of each prompt answered by itself; one more is asked first, unmeasured, to warm up."""
    latencies: list[float] = []
    if not prompts:
        return latencies
    generate(loaded, prompts[:1], sampling, batch_size=1, seed=0)
    with bar(f"{label} latency", len(prompts), "prompts") as running:
        for ids in prompts:
            start = time.perf_counter()
            generate(loaded, [ids], sampling, batch_size=1, seed=0)
            latencies.append(time.perf_counter() - start)
            running.advance()
    return latencies
