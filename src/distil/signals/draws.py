"""From the teacher's logits to what is stored of them: the exact top k, random draws, or both. torch in, numpy rows out.

Draws use one stream of random numbers an example (seed, example id, set), so neither batching, nor the order, nor the number of
processes, nor a restart changes what is drawn.

    independent   u_j uniform: counts are multinomial, as in Random-Sampling KD (Anshumann et al., ACL 2025)
    systematic    u_j = (j + U) / N with one uniform U (Madow 1949): E[count / N] = p as well, but each count is N*p rounded up
                  or down, so its variance is at most 1/4 instead of N*p*(1 - p)
"""

from __future__ import annotations

import hashlib
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from distil.objectives.sampling import entropy_of, unique_counts
from distil.runs.signals.codec import SparseRows

Doubles = NDArray[np.float64]
Draw = Literal["independent", "systematic"]


def uniforms(example_id: str, rows: int, draws: int, *, draw: Draw, seed: int, number: int) -> Doubles:
    """(rows, draws) float64 in [0, 1) for set `number` of an example's draws."""
    key = hashlib.blake2b(f"{seed}\n{example_id}\n{number}".encode(), digest_size=16).digest()
    random = np.random.Generator(np.random.Philox(key=int.from_bytes(key, "little")))
    if draw == "independent":
        return random.random((rows, draws))
    starts = random.random((rows, 1))
    return (np.arange(draws) + starts) / draws


def top_k_rows(logits: Tensor, k: int, temperatures: tuple[float, ...]) -> SparseRows:
    """Exact top k of (C, V) logits with, for each temperature, the log-odds of the tail and the entropy.

    Stored: logit minus the row's largest. With o_T = log(tail_T / kept_T) the normalizer is
    log Z_T = logsumexp over the kept of logit/T + log(1 + e^o_T), so the cache is exact at each temperature of the grid; the mass
    that a T = 1 cache left over, raised to the power 1/T, is not, because (sum p)^a != sum p^a.
    """
    logits = logits.float()
    top, ids = logits.topk(min(k, logits.shape[1]), dim=-1)
    tail = logits.scatter(1, ids, -torch.inf)
    odds, entropy = [], []
    for temperature in temperatures:
        odds.append(torch.logsumexp(tail / temperature, -1) - torch.logsumexp(top / temperature, -1))
        entropy.append(_entropy(logits, temperature))
    return _sparse_rows(ids, top - top[:, :1], torch.stack(entropy, -1), torch.stack(odds, -1))


def sampled_rows(logits: Tensor, random: Doubles, temperature: float) -> SparseRows:
    """Counts of `random.shape[1]` draws a row from p_T; logits (C, V), random (C, N) from `uniforms`."""
    probabilities = _softmax(logits, temperature)
    ids, counts = unique_counts(_draw(probabilities, random))
    return _sparse_rows(ids, counts, _entropy(logits, temperature)[:, None])


def stratified_rows(logits: Tensor, k: int, random: Doubles, temperature: float) -> SparseRows:
    """The k best with their log-probabilities, and counts of `random.shape[1]` draws from all others, at p_T.

    A draw stands for tail mass / number of draws. A row without a tail (k covers the vocabulary, or the tail's probabilities
    are 0 in float32) has no draws.
    """
    probabilities = _softmax(logits, temperature)
    head, head_ids = probabilities.topk(min(k, logits.shape[1]), dim=-1)
    tail = probabilities.scatter(1, head_ids, 0.0)
    mass = tail.sum(-1, dtype=torch.float64)
    tail_ids, counts = unique_counts(_draw(torch.where((mass > 0)[:, None], tail, 1.0), random))
    tail_ids = tail_ids.masked_fill((mass <= 0)[:, None], -1)
    positive = head > 0  # what is 0 in float32 has no entry
    head_ids = head_ids.masked_fill(~positive, -1)
    relative = torch.where(positive, (head / head[:, :1]).log(), 0.0)
    odds = (mass.log() - head.double().sum(-1).log())[:, None]
    ids, values = torch.cat([head_ids, tail_ids], -1), torch.cat([relative, counts], -1)
    return _sparse_rows(ids, values, _entropy(logits, temperature)[:, None], odds.float())


def join_rows(parts: list[SparseRows]) -> SparseRows:
    """Chunks of one example's rows, padded to the widest."""
    width = max(part.ids.shape[1] for part in parts)
    ids = [np.pad(part.ids, ((0, 0), (0, width - part.ids.shape[1])), constant_values=-1) for part in parts]
    values = [np.pad(part.values, ((0, 0), (0, width - part.values.shape[1]))) for part in parts]
    odds = [part.tail_odds for part in parts if part.tail_odds is not None]
    entropy = np.concatenate([part.entropy for part in parts])
    return SparseRows(np.concatenate(ids), np.concatenate(values), entropy, np.concatenate(odds) if odds else None)


def slice_rows(rows: SparseRows, start: int, stop: int) -> SparseRows:
    """The rows [start, stop)."""
    odds = None if rows.tail_odds is None else rows.tail_odds[start:stop]
    return SparseRows(rows.ids[start:stop], rows.values[start:stop], rows.entropy[start:stop], odds)


def _sparse_rows(*columns: Tensor) -> SparseRows:
    return SparseRows(*(column.cpu().numpy() for column in columns))


def _softmax(logits: Tensor, temperature: float) -> Tensor:
    return torch.softmax(logits.float() / temperature, -1)


def _entropy(logits: Tensor, temperature: float) -> Tensor:
    return entropy_of(torch.log_softmax(logits.float() / temperature, -1))


def _draw(weights: Tensor, random: Doubles) -> Tensor:
    """(C, N) ids by inversion of the cumulative sum (float64: 128k float32 steps would lose the tail)."""
    cumulative = weights.double().cumsum(-1)
    points = torch.as_tensor(random, device=weights.device) * cumulative[:, -1:]
    # right=True: the first id whose cumulative mass exceeds the point, so an id of mass 0 is never drawn.
    ids: Tensor = torch.searchsorted(cumulative, points, right=True)
    return ids.clamp(max=weights.shape[1] - 1)
