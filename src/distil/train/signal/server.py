"""A teacher behind vLLM or SGLang scores given tokens (`prompt_logprobs`), and a served student writes rollouts.

Token ids are sent, never text, so nothing is tokenized twice. A server returns the k best log-probabilities per position at
temperature 1: top-k with the exact tail mass, and no other temperature, because the normalizer at T is unknown. Not for
chat APIs (distil.calls).
"""

from __future__ import annotations

import json
import math
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from typing import Any, NamedTuple

import torch

from distil.errors import UserError, WorkFailed
from distil.objectives.settings import LossSettings
from distil.objectives.targets import IGNORED, TopKTargets
from distil.records import Sampling
from distil.train.batches import MicroBatch
from distil.train.examples import Tokenized
from distil.train.rollouts import Writer
from distil.train.signal.sources import Signal

WORKERS = 16
ATTEMPTS = 4
FLOOR = 1e-12


class Address(NamedTuple):
    """Where a server is, and its protocol."""

    base: str
    name: str
    """Of the model."""
    sglang: bool

    @classmethod
    def parse(cls, text: str) -> Address:
        """http://HOST:PORT/v1#NAME for vLLM, sglang+http://HOST:PORT for SGLang. Raises UserError."""
        sglang = text.startswith("sglang+")
        base, _, name = text.removeprefix("sglang+").partition("#")
        if not base.startswith(("http://", "https://")) or (not sglang and not name):
            raise UserError(
                f"train.server is {text!r}; expected http://HOST:PORT/v1#NAME of a vLLM server, or sglang+http://HOST:PORT."
            )
        return cls(base.rstrip("/"), name, sglang)


def post(url: str, body: dict[str, Any], timeout_s: float = 600.0) -> dict[str, Any]:
    """One JSON request. Retries overload and lost connections; raises UserError with the server's message for a refusal."""
    data = json.dumps(body).encode()
    fault = ""
    for attempt in range(ATTEMPTS):
        request = urllib.request.Request(url, data=data, headers={"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=timeout_s) as reply:
                return dict(json.loads(reply.read()))
        except urllib.error.HTTPError as error:
            fault = f"{error.code}: {error.read().decode(errors='replace')[:400]}"
            if error.code not in (408, 429) and error.code < 500:
                raise UserError(
                    f"The server {url} refused the request ({fault}). Check its name, model and --max-logprobs."
                ) from None
        except (OSError, json.JSONDecodeError) as error:
            fault = str(error)
        time.sleep(0.2 * 2**attempt)
    raise WorkFailed(
        f"The server {url} did not answer after {ATTEMPTS} attempts ({fault}). Start it and run again; training resumes."
    )


Row = dict[int, float]


def vllm_rows(reply: dict[str, Any]) -> list[Row | None]:
    """`prompt_logprobs` of a vLLM completion: for each position a dict id -> log-probability, None for the first."""
    choice = (reply.get("choices") or [{}])[0]
    positions = choice.get("prompt_logprobs")
    if positions is None:
        raise UserError(
            "The server's reply has no prompt_logprobs: expected a vLLM server (/v1/completions), or use sglang+http://."
        )
    return [None if row is None else {int(i): float(entry["logprob"]) for i, entry in row.items()} for row in positions]


def sglang_rows(reply: dict[str, Any]) -> list[Row | None]:
    """`input_top_logprobs` of SGLang's /generate: for each position [log-probability, id, text] triples, None for the first."""
    positions = (reply.get("meta_info") or {}).get("input_top_logprobs")
    if positions is None:
        raise UserError("The server's reply has no input_top_logprobs: expected an SGLang server (/generate).")
    return [None if not row else {int(entry[1]): float(entry[0]) for entry in row} for row in positions]


class ServerSource:
    """Top-k targets with their tail mass, from a running server."""

    packs = True

    def __init__(self, address: Address, top_k: int, device: torch.device) -> None:
        self.address, self.top_k, self.device = address, top_k, device

    def check(self, examples: Sequence[Tokenized], settings: LossSettings) -> None:
        """Scores one example. Raises UserError for another temperature than 1 or a server that can't score."""
        if settings.temperature != 1.0:
            raise UserError(
                f"A server gives probabilities at temperature 1, and train.temperature is {settings.temperature:g}. Set "
                "train.temperature: 1.0, or train.signal: cached (which stores normalizers) or online."
            )
        self._score(examples[0].for_teacher.input_ids)

    def signal(self, batch: MicroBatch, epoch: int) -> Signal:
        """One request per example, many at once."""
        seen = [example.for_teacher for example in batch.examples]
        with ThreadPoolExecutor(WORKERS) as pool:
            scored = list(pool.map(self._score, [example.input_ids for example in seen]))
        rows: list[Row] = []
        for example, positions in zip(seen, scored, strict=True):
            for position, label in enumerate(example.labels):
                if position and label != IGNORED:
                    rows.append(positions[position] or {})
        return Signal(top_k_of_rows(rows, self.top_k, self.device))

    def _score(self, ids: list[int]) -> list[Row | None]:
        base, name, sglang = self.address
        if sglang:
            sampling = {"max_new_tokens": 1, "temperature": 0}
            scores = {"return_logprob": True, "logprob_start_len": 0, "top_logprobs_num": self.top_k}
            rows = sglang_rows(post(f"{base}/generate", {"input_ids": ids, "sampling_params": sampling, **scores}))
        else:
            body = {"model": name, "prompt": ids, "max_tokens": 1, "temperature": 0, "prompt_logprobs": self.top_k}
            rows = vllm_rows(post(f"{base}/completions", body))
        if len(rows) != len(ids):
            raise UserError(
                f"The server scored {len(rows)} positions of {len(ids)}, so it does not take token ids unchanged. Use "
                "vLLM's /v1/completions or SGLang's /generate."
            )
        return rows


def top_k_of_rows(rows: Sequence[Row], top_k: int, device: torch.device) -> TopKTargets:
    """Dicts id -> log p to (R, K) targets. A server may add the actual token as entry k + 1; it is as exact as the others."""
    width = min(max([len(row) for row in rows] + [1]), top_k + 1)
    ids = torch.full((len(rows), width), -1, dtype=torch.int64)
    log_probs = torch.full((len(rows), width), -math.inf)
    tails = []
    for number, row in enumerate(rows):
        best = sorted(row.items(), key=lambda item: -item[1])[:width]
        ids[number, : len(best)] = torch.tensor([token for token, _ in best], dtype=torch.int64)
        log_probs[number, : len(best)] = torch.tensor([log_prob for _, log_prob in best])
        tails.append(math.log(max(1.0 - sum(math.exp(value) for _, value in best), FLOOR)))
    return TopKTargets(ids.to(device), log_probs.to(device), torch.tensor(tails, device=device))


def served_writer(address: Address) -> Writer:
    """Rollouts from a vLLM server that serves the student. It keeps the weights it was started with: restart it with a newer
    student from time to time."""

    def complete(prompt: list[int], sampling: Sampling, seed: int) -> list[int]:
        options = {"max_tokens": sampling.max_tokens, "temperature": sampling.temperature, "seed": seed % (1 << 31)}
        if sampling.top_p < 1:
            options["top_p"] = sampling.top_p
        body = {"model": address.name, "prompt": prompt, **options, "return_token_ids": True}
        choice = (post(f"{address.base}/completions", body).get("choices") or [{}])[0]
        ids = choice.get("token_ids")
        if ids is None:
            raise UserError(
                "The rollout server returns no token_ids: expected vLLM 0.10.2 or newer (return_token_ids)."
            )
        return [int(token) for token in ids]

    def write(prompts: list[list[int]], sampling: Sampling, seed: int) -> list[list[int]]:
        seeds = range(seed, seed + len(prompts))
        with ThreadPoolExecutor(WORKERS) as pool:
            return list(pool.map(complete, prompts, repeat(sampling), seeds))

    return write
