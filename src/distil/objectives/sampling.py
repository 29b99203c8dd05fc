"""Makes sparse targets from a teacher's logits: exact top k, Random-Sampling KD, and top k with a sampled tail.

The sampled forms are unbiased: the expected weight of every id over the draws is its probability, so the expected loss and
gradient of forward KL are those of the full distribution. Draws at cache time are frozen; with a live teacher each step may draw
again. It computes no loss.
"""

from __future__ import annotations

import torch
from torch import Tensor

from distil.objectives.targets import SampledTargets, TopKTargets


def top_k_targets(logits: Tensor, k: int, temperature: float = 1.0) -> TopKTargets:
    """The k most probable ids of each row of (N, V) logits and the exact mass of the rest. Needs 1 <= k < V."""
    _check(logits, k, "k")
    log_probs = torch.log_softmax(logits.float() / temperature, -1)
    kept, ids = log_probs.topk(k, dim=-1)
    log_tail = log_probs.scatter(1, ids, -torch.inf).logsumexp(-1)
    return TopKTargets(ids=ids, log_probs=kept, log_tail=log_tail, temperature=temperature)


def random_sampling_targets(
    logits: Tensor,
    rounds: int = 50,
    *,
    temperature: float = 1.0,
    proposal_power: float = 1.0,
    generator: torch.Generator | None = None,
) -> SampledTargets:
    """Random-Sampling KD ("Sparse Logit Sampling", Anshumann et al., ACL 2025): N draws with replacement, counted.

    logits: (N, V). Draws come from r ~ p_T^proposal_power and weigh (p / r) / rounds each; at power 1 that is count / rounds,
    which needs no probabilities to be stored. 50 rounds give about 12 different ids on language models (the paper's figure).
    """
    if rounds < 1:
        raise ValueError(f"rounds is {rounds}; expected at least 1")
    log_probs = torch.log_softmax(logits.float() / temperature, -1)
    log_proposal = log_probs if proposal_power == 1.0 else torch.log_softmax(log_probs * proposal_power, -1)
    draws = torch.multinomial(log_proposal.exp(), rounds, replacement=True, generator=generator)
    ids, counts = unique_counts(draws)
    ratio = (log_probs - log_proposal).gather(1, ids.clamp(min=0)).exp()
    return SampledTargets(ids, counts * ratio / rounds, entropy_of(log_probs), temperature)


def stratified_targets(
    logits: Tensor, k: int, draws: int, *, temperature: float = 1.0, generator: torch.Generator | None = None
) -> SampledTargets:
    """The k most probable ids with their exact probabilities, and `draws` draws from the tail, each weighing (1 - P) / draws.

    Unbiased as random sampling is, and without variance on the ids that carry most of the mass. logits: (N, V), 1 <= k < V.
    """
    _check(logits, k, "k")
    if draws < 1:
        raise ValueError(f"draws is {draws}; expected at least 1")
    log_probs = torch.log_softmax(logits.float() / temperature, -1)
    head, head_ids = log_probs.topk(k, dim=-1)
    tail = log_probs.exp().scatter_(1, head_ids, 0.0)
    mass = tail.sum(-1, keepdim=True)  # (N, 1), summed over the tail: 1 - P has no digits left where it is small
    proposal = torch.where(mass > 0, tail, 1.0)  # a row without a tail draws anything, at weight 0
    tail_ids, counts = unique_counts(torch.multinomial(proposal, draws, replacement=True, generator=generator))
    # A row without a tail may draw one of its k ids; an id occurs once in a row, so such draws become padding.
    tail_ids = tail_ids.masked_fill(mass == 0, -1)
    weights = torch.cat([head.exp(), counts * mass / draws], -1)
    ids = torch.cat([head_ids, tail_ids], -1)
    return SampledTargets(ids, weights.masked_fill(ids < 0, 0.0), entropy_of(log_probs), temperature)


def entropy_of(log_probs: Tensor) -> Tensor:
    """(N, V) log-probabilities -> (N,) entropy in nats; -inf counts as probability 0."""
    return torch.special.entr(log_probs.exp()).sum(-1)


def unique_counts(draws: Tensor) -> tuple[Tensor, Tensor]:
    """(N, M) ids with repeats -> (N, U) different ids of each row, ascending, padded with -1, and how often each was drawn."""
    ordered = draws.sort(-1).values
    first = torch.ones_like(ordered, dtype=torch.bool)
    first[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    place = first.cumsum(-1) - 1  # (N, M) where each draw's id goes
    width = int(place.max()) + 1 if place.numel() else 0
    ids = torch.full((draws.shape[0], width), -1, dtype=draws.dtype, device=draws.device).scatter_(1, place, ordered)
    counts = torch.zeros(ids.shape, device=draws.device)
    return ids, counts.scatter_add_(1, place, torch.ones_like(ordered, dtype=counts.dtype))


def _check(logits: Tensor, k: int, name: str) -> None:
    if not 1 <= k < logits.shape[1]:
        raise ValueError(f"{name} is {k} at a vocabulary of {logits.shape[1]}; expected 1 <= {name} < vocabulary")
