"""Is an exported student the student that was trained? Compared on real prompts before an export is accepted.

It catches a wrong merge, a lost chat template, another end token. Not an evaluation of quality (distil.evaluate).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import takewhile
from typing import TYPE_CHECKING

from distil.errors import UserError, WorkFailed
from distil.models.fingerprint import template_fingerprint, tokenizer_fingerprint
from distil.models.generate import generate
from distil.models.load import Loaded, stop_ids
from distil.records import Sampling

if TYPE_CHECKING:
    from torch import Tensor

TOP_K = 10


@dataclass(frozen=True)
class Parity:
    """How two models compare on some prompts."""

    prompts: int
    """Compared prompts."""
    greedy_equal: float
    """Share of prompts with exactly the same greedy tokens."""
    greedy_prefix: float
    """Share of greedy tokens before the first difference: one flipped near-tie costs only what follows it."""
    top_token_equal: float
    """Share of positions of the trained student's answers at which both find the same token most probable: unlike the greedy
    figures, one flipped near-tie costs one position."""
    top_k_overlap: float
    """Mean share of the 10 most probable next tokens that both have in common, over all positions of the prompts' answers."""
    kl: float
    """Mean KL(trained || exported) in nats at these positions."""
    template_equal: bool
    """The chat template has the same bytes, and the tokenizer gives the same ids."""
    eos_equal: bool
    """The same tokens end an answer."""
    shape_equal: bool = True
    """Sizes, rotation and norms in a converted file's metadata are the student's; true where the config is copied."""

    def as_dict(self) -> dict[str, float | bool]:
        """For a manifest."""
        return {name: round(value, 8) if isinstance(value, float) else value for name, value in asdict(self).items()}


def compare(trained: Loaded, exported: Loaded, prompts: Sequence[list[int]], *, max_tokens: int = 48) -> Parity:
    """Greedy answers of both to `prompts` (token ids), and both distributions along the trained student's answers."""
    import torch

    if not prompts:
        raise UserError(
            "An export is compared on prompts, and there are none. Expected curated examples in this project."
        )
    sampling = Sampling(temperature=0, max_tokens=max_tokens)
    answers = [generate(side, prompts, sampling) for side in (trained, exported)]
    pairs = [(mine.token_ids, theirs.token_ids) for mine, theirs in zip(*answers, strict=True)]
    prefix = [_common(mine, theirs) / max(len(mine), len(theirs), 1) for mine, theirs in pairs]
    overlap, same_top, kl, positions = 0.0, 0, 0.0, 0
    with torch.inference_mode():
        for prompt, (mine, _) in zip(prompts, pairs, strict=True):
            ids = prompt + mine
            p, q = (_answer_logprobs(side, ids, len(prompt)) for side in (trained, exported))
            size = min(p.shape[1], q.shape[1])
            p, q = p[:, :size], q[:, :size]
            kl += float((p.exp() * (p - q)).sum())
            k = min(TOP_K, size)
            tops = [set(row.tolist()) for row in p.topk(k).indices], [set(row.tolist()) for row in q.topk(k).indices]
            overlap += sum(len(a & b) / k for a, b in zip(*tops, strict=True))
            same_top += int((p.argmax(-1) == q.argmax(-1)).sum())
            positions += p.shape[0]
    prints = [(template_fingerprint(t), tokenizer_fingerprint(t)) for t in (trained.tokenizer, exported.tokenizer)]
    return Parity(
        prompts=len(prompts),
        greedy_equal=sum(mine == theirs for mine, theirs in pairs) / len(pairs),
        greedy_prefix=sum(prefix) / len(prefix),
        top_token_equal=same_top / max(positions, 1),
        top_k_overlap=overlap / max(positions, 1),
        kl=kl / max(positions, 1),
        template_equal=prints[0] == prints[1],
        eos_equal=stop_ids(trained.model, trained.tokenizer) == stop_ids(exported.model, exported.tokenizer),
    )


def require(parity: Parity, *, max_kl: float = 0.01, quantized: bool = False) -> None:
    """Raises WorkFailed when the exported student is another one. The limits allow a change of dtype, not a bug.

    quantized: rounding may flip a near-tie, after which greedy answers diverge, so they don't count.
    """
    shares = [
        ("greedy tokens", parity.greedy_prefix, 0.0 if quantized else 0.9),
        ("top next tokens", parity.top_token_equal, 0.9),
        ("top ten tokens", parity.top_k_overlap, 0.9),
    ]
    checks = [
        (parity.template_equal, "the chat template or the tokenizer differs"),
        (parity.eos_equal, "other tokens end an answer"),
        (parity.shape_equal, "the file's metadata describe another model"),
    ]
    faults = [fault for equal, fault in checks if not equal]
    if not parity.kl <= max_kl:  # also catches nan
        faults.append(f"its distributions differ by {parity.kl:.4f} nats a token (at most {max_kl:g})")
    faults += [f"only {s:.0%} of the {what} agree (at least {limit:.0%})" for what, s, limit in shares if s < limit]
    if faults:
        raise WorkFailed(
            f"The exported student is not the one that was trained: {'; '.join(faults)}, on {parity.prompts} prompts. "
            "Nothing was exported. Export in the dtype of the training, or without quantizing."
        )


def _answer_logprobs(side: Loaded, ids: list[int], start: int) -> Tensor:
    import torch

    tokens = torch.tensor([ids], device=side.device)
    logits = side.model(input_ids=tokens, attention_mask=torch.ones_like(tokens)).logits
    return torch.log_softmax(logits[0, start - 1 : -1].double().cpu(), -1)  # (answer, V)


def _common(mine: list[int], theirs: list[int]) -> int:
    """Length of the common prefix."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(mine, theirs, strict=False)))
