"""Which model answers behind a URL: a dozen labeled prompts and some fixed ones, with the log-probabilities of greedy answers.

Taken at calibration, compared at each start and while the gateway runs (watch.py). Two answers are compared token by token as
far as they are the same, so that a near-tie that falls the other way costs one token and not the answer. The tolerances are
measured in docs/results_serving.md.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import TypeAlias

from distil import loops
from distil.ids import content_id
from distil.progress import say
from distil.records import Message, Sampling
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_records, write_records
from distil.runs.schemas.canary import Canary
from distil.serve.certificate.server_version import SERVER_VERSION, server_version
from distil.serve.config import ServeConfig
from distil.serve.engines.base import Engine, make_engine
from distil.serve.engines.upstream import engine_key, split_url
from distil.serve.wire import BadRequest, ChatReply, ChatRequest, EngineFailed

Tokens: TypeAlias = Sequence[Sequence[tuple[str, float]]]

LABELS, ANSWER_TOKENS, ALTERNATIVES = 12, 16, 5
FIXED = (
    "Count from one to ten.",
    "What is the capital of France?",
    "Write a Python function that reverses a string.",
    "Übersetze ins Englische: Das Wetter ist heute schön.",
    'Answer as JSON with the keys "city" and "country": Paris.',
)
CLIP = 1.0
"""Nats: a token that differs by more differs, and by how much says nothing more."""
FLOOR, TIMES_NOISE = 0.01, 4.0
"""Mean difference in nats per token that restarts, batches and other machines stay under; or so many times what batches did at
calibration, where that is more (16-bit arithmetic on a GPU)."""
ENOUGH = 0.67
"""Share of the canary prompts that must be answered for a comparison."""


def canary_requests(labels: Sequence[ChatRequest]) -> list[ChatRequest]:
    """A dozen labeled prompts, always the same ones of a set, and the fixed ones."""
    chosen = sorted(labels, key=lambda r: content_id("canary", [m.to_wire() for m in r.messages]))[:LABELS]
    fixed = [ChatRequest("student", [Message(role="user", content=text)], Sampling()) for text in FIXED]
    return [_asked(request) for request in [*chosen, *fixed]]


async def ask(engine: Engine, requests: Sequence[ChatRequest], *, at_once: int) -> list[Tokens | None]:
    """The distributions of each answer's tokens; None where the server did not answer. `at_once`: requests in flight."""
    slots = asyncio.Semaphore(at_once)

    async def one(request: ChatRequest) -> Tokens | None:
        async with slots:
            try:
                return distributions(await engine.answer(request))
            except EngineFailed:
                return None
            except BadRequest:  # it has no such prompt, template or number of alternatives
                return []

    return list(await asyncio.gather(*(one(request) for request in requests)))


def distributions(reply: ChatReply) -> Tokens:
    """Per token of an answer: itself first, then the alternatives, each with its log-probability."""
    found: list[list[tuple[str, float]]] = []
    for token in reply.logprobs or []:
        listed = [(str(one.get("token")), one.get("logprob")) for one in (token, *(token.get("top_logprobs") or []))]
        numbers: dict[str, float] = {}  # parts of characters share a text: the most probable one stands for it
        for text, p in listed:
            if isinstance(p, float | int) and math.isfinite(p):
                numbers.setdefault(text, round(float(p), 6))
        found.append(list(numbers.items()))
        if listed[0][0] not in numbers:
            return found[:-1]
    return found


def differences(then: Tokens, now: Tokens) -> list[float]:
    """Nats per token, up to and with the first token that differs: the mean over the token and its alternatives."""
    found = []
    for was, is_now in zip(then, now, strict=False):
        found.append(_difference(was, dict(is_now)))
        if was[0][0] != is_now[0][0]:
            return found
    return [*found, CLIP] if len(then) != len(now) else found


def difference(canaries: Sequence[Canary], answers: Sequence[Tokens | None]) -> float | None:
    """Mean difference in nats per token over all canary prompts; None: too few were answered."""
    pairs = [(c, answer) for c, answer in zip(canaries, answers, strict=True) if answer is not None]
    if len(pairs) < ENOUGH * len(canaries):
        return None
    return fmean([value for c, answer in pairs for value in differences(c.tokens, answer)] or [0.0])


def tolerance(canaries: Sequence[Canary]) -> float:
    """The largest difference that is still the same model."""
    return max(FLOOR, TIMES_NOISE * fmean(canary.noise for canary in canaries))


def take_canaries(project: Project, section: ServeConfig, name: str, labels: Sequence[ChatRequest]) -> dict[str, str]:
    """Asks the server behind `serve.engine` and writes what it answers; without one there is no such file.

    Returns its version under SERVER_VERSION, where it says one. Raises EngineFailed when it stops answering.
    """
    path = project.canaries(name)
    if section.engine is None:
        path.unlink(missing_ok=True)
        return {}
    engine = make_engine("", batch_size=1, queue=1, engine=section.engine, key_env=section.engine_key_env)
    write_records(path, loops.run(take(engine, canary_requests(labels))))
    key = engine_key(section.engine_key_env)
    version = loops.run(server_version(split_url(section.engine)[0], key))
    return {} if version is None else {SERVER_VERSION: version}


async def take(engine: Engine, requests: Sequence[ChatRequest]) -> list[Canary]:
    """The answers of an engine, which is started for it, each asked for alone and with all others. Raises EngineFailed."""
    await engine.start()
    try:
        say(f"distil calibrate: {len(requests)} canary prompts, by which the model behind serve.engine is recognized")
        alone = await ask(engine, requests, at_once=1)
        together = await ask(engine, requests, at_once=len(requests))
    finally:
        await engine.stop()
    if None in alone or None in together:
        raise EngineFailed("The student's server stopped answering.")
    return [
        Canary(
            messages=request.messages,
            tools=request.tools,
            tool_choice=request.tool_choice,
            response_format=request.response_format,
            tokens=[list(token) for token in first or []],
            noise=round(fmean(differences(first or [], second or []) or [0.0]), 6),
        )
        for request, first, second in zip(requests, alone, together, strict=True)
    ]


def read_canaries(project: Project, name: str) -> list[Canary]:
    """The stored answers; empty where the student was calibrated in this process."""
    path = project.canaries(name)
    return list(read_records(path, Canary)) if path.exists() else []


async def ask_again(engine: Engine, canaries: Sequence[Canary], *, at_once: int = 4) -> list[Tokens | None]:
    """The same prompts once more."""
    return await ask(engine, [_asked(canary) for canary in canaries], at_once=at_once)


def _asked(like: ChatRequest | Canary) -> ChatRequest:
    return ChatRequest(
        "student",
        like.messages,
        Sampling(temperature=0, max_tokens=ANSWER_TOKENS, top_logprobs=ALTERNATIVES),
        tools=like.tools,
        tool_choice=like.tool_choice,
        response_format=like.response_format,
        logprobs=True,
    )


def _difference(was: Sequence[tuple[str, float]], now: Mapping[str, float]) -> float:
    """Mean over the token and its alternatives. One that is not listed any more is at most as probable as the last one listed."""
    last = min(now.values())
    gaps = [abs(p - now[token]) if token in now else max(0.0, p - last) for token, p in was]
    return fmean(min(gap, CLIP) for gap in gaps)
