"""Is an exported student the student that was trained? Compared on real prompts before an export is accepted.

Compared by distribution along the trained student's own answers, where rounding and mistakes look different (measured on SmolLM2,
docs/results_engine.md): rounding to bfloat16 or q8_0 is noise, below 0.003 nats, flips only near-ties and leaves the scale of the
logits at 1.000 +- 0.003; a swapped tensor costs 0.15 nats and more; logits times 1.02 are only 0.0007 nats but a scale of 1.02.
Greedy texts are shown and not judged: after one flipped near-tie everything that follows differs. Not an evaluation of quality.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import reduce
from itertools import takewhile
from operator import and_
from typing import TYPE_CHECKING

from distil.errors import UserError, WorkFailed
from distil.models.fingerprint import template_fingerprint, tokenizer_fingerprint
from distil.models.generate import generate
from distil.models.load import Loaded, stop_ids
from distil.records import Sampling

if TYPE_CHECKING:
    from torch import Tensor

TOP_K = 10
SUMS = (
    "positions",
    "kl",
    "overlap",
    "same_top",
    "clear",
    "clear_same",
    "product",
    "square",
    "effect",
    "changes",
    "changed",
)
MAX_KL = 0.01
"""Nats a token. bfloat16 0.0010, q8_0 0.0018, a merge in bfloat16 0.0017; swapped tensors 0.15 to 9."""
MAX_SCALE_ERROR = 0.01
"""Of the logits. bfloat16 0.0007, q8_0 0.0026."""
CLEAR_GAP = 0.25
"""Nats between the most probable token and the next, from which on rounding doesn't change their order."""
MIN_CLEAR_TOP = 0.98
CHANGE = (0.75, 1.33)
"""Share of an adapter's change that a merge has: 1.00 in float32 (twice its scale: 2.00, lost: 0), 0.98 for one on a float32 base
merged in bfloat16."""
CLEAR_EFFECT, EXACT_EFFECT = 0.008, 1e-6
"""Nats a token from which on that share is judged. Where adapter and base run in 16 bits themselves, rounding (0.0017 nats) pulls
it towards 0.5; the second figure is for 32 bits."""


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
    clear_top_equal: float
    """Like top_token_equal, where the trained student prefers its token by at least 0.25 nats."""
    scale: float
    """Slope of the exported logits over the trained ones (both about their mean): 1 for the same model, whatever the rounding."""
    effect: float | None
    """Mean KL(trained || base) in nats where the trained student is base + adapter; None else."""
    change: float | None
    """Slope of (exported - base) over (trained - base) of the logits, there: 1 where the whole adapter is in the export."""
    exact: bool
    """The trained student ran in 32 bits."""
    template_equal: bool
    """The chat template has the same bytes, and the tokenizer gives the same ids."""
    eos_equal: bool
    """The same tokens end an answer."""
    shape_equal: bool = True
    """Sizes, rotation and norms in a converted file's metadata are the student's; true where the config is copied."""

    def as_dict(self) -> dict[str, float | bool | None]:
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
    sums, adapted = dict.fromkeys(SUMS, 0.0), hasattr(trained.model, "disable_adapter")
    with torch.inference_mode():
        for prompt, (mine, _) in zip(prompts, pairs, strict=True):
            ids, start = prompt + mine, len(prompt)
            p, q = _answer_logprobs(trained, ids, start), _answer_logprobs(exported, ids, start)
            for name, value in _sums(p, q).items():
                sums[name] += value
            if adapted:
                with trained.model.disable_adapter():
                    base = _answer_logprobs(trained, ids, start)
                sums["effect"] += float(_kl(p, base))
                for name, value in zip(("changes", "changed"), _slope(p, q, base), strict=True):
                    sums[name] += value
    prints = [(template_fingerprint(t), tokenizer_fingerprint(t)) for t in (trained.tokenizer, exported.tokenizer)]
    count = max(sums["positions"], 1)
    return Parity(
        prompts=len(prompts),
        greedy_equal=sum(mine == theirs for mine, theirs in pairs) / len(pairs),
        greedy_prefix=sum(prefix) / len(prefix),
        top_token_equal=sums["same_top"] / count,
        top_k_overlap=sums["overlap"] / count,
        kl=sums["kl"] / count,
        clear_top_equal=sums["clear_same"] / sums["clear"] if sums["clear"] else 1.0,
        scale=sums["product"] / sums["square"] if sums["square"] else 1.0,
        effect=sums["effect"] / count if adapted else None,
        change=sums["changes"] / sums["changed"] if adapted and sums["changed"] else None,
        exact=trained.model.dtype.itemsize > 2,
        template_equal=prints[0] == prints[1],
        eos_equal=stop_ids(trained.model, trained.tokenizer) == stop_ids(exported.model, exported.tokenizer),
    )


def _sums(p: Tensor, q: Tensor) -> dict[str, float]:
    """Sums over the positions of one answer, from both models' log-probabilities (positions, V)."""
    size = min(p.shape[1], q.shape[1])
    p, q = p[:, :size], q[:, :size]
    k = min(TOP_K, size)
    tops = [set(row.tolist()) for row in p.topk(k).indices], [set(row.tolist()) for row in q.topk(k).indices]
    first, second = p.topk(2).values.unbind(1)
    clear, same = first - second >= CLEAR_GAP, p.argmax(-1) == q.argmax(-1)
    product, square = _slope(p, q)
    return {
        "positions": p.shape[0],
        "kl": float(_kl(p, q)),
        "overlap": sum(len(a & b) / k for a, b in zip(*tops, strict=True)),
        "same_top": float(same.sum()),
        "clear": float(clear.sum()),
        "clear_same": float((clear & same).sum()),
        "product": product,
        "square": square,
    }


def _slope(p: Tensor, q: Tensor, base: Tensor | None = None) -> tuple[float, float]:
    """(sum xy, sum xx) of two sides' logits about their mean, minus a third side's where given."""
    size = min(side.shape[1] for side in (p, q, p if base is None else base))
    sides = [side[:, :size] for side in (p, q, base) if side is not None]
    finite = reduce(and_, (side.isfinite() for side in sides))  # ids that a model masks have no place in a slope
    x, y, *rest = (_about_mean(side, finite) for side in sides)
    for origin in rest:
        x, y = x - origin, y - origin
    return float((x * y).sum()), float((x * x).sum())


def _about_mean(rows: Tensor, counted: Tensor) -> Tensor:
    """Each row minus its mean over the counted entries; 0 where not counted."""
    rows = rows.where(counted, 0.0)
    return (rows - rows.sum(-1, keepdim=True) / counted.sum(-1, keepdim=True)).where(counted, 0.0)


def _kl(p: Tensor, q: Tensor) -> Tensor:
    """Sum over the rows of KL(p || q), from log-probabilities over at least the same first ids."""
    size = min(p.shape[1], q.shape[1])
    p, q = p[:, :size], q[:, :size]
    return (p.exp() * (p.clamp(min=-1e4) - q.clamp(min=-1e4))).sum()


def differences(parity: Parity) -> list[str]:
    """How the distributions differ by more than rounding makes them; empty for the same student."""
    faults = []
    if not parity.kl <= MAX_KL:  # also catches nan
        faults.append(f"its distributions differ by {parity.kl:.4f} nats a token (at most {MAX_KL:g})")
    if not abs(parity.scale - 1) <= MAX_SCALE_ERROR:
        faults.append(f"its logits are {parity.scale:.3f} times those of the training (0.99 to 1.01)")
    judged = parity.effect is not None and parity.effect >= (EXACT_EFFECT if parity.exact else CLEAR_EFFECT)
    if judged and parity.change is not None and not CHANGE[0] <= parity.change <= CHANGE[1]:
        faults.append(f"it has {parity.change:.2f} times the change that the adapter makes")
    if not parity.clear_top_equal >= MIN_CLEAR_TOP:
        faults.append(f"only {parity.clear_top_equal:.0%} of its clear top tokens agree (at least {MIN_CLEAR_TOP:.0%})")
    return faults


def require(parity: Parity, *, accept: bool = False) -> None:
    """Raises WorkFailed when the exported student is another one. The limits allow a change of dtype, not a mistake.

    accept: distributions may differ (its figures say how much); another template, tokenizer, end or shape never passes.
    """
    checks = [
        (parity.template_equal, "the chat template or the tokenizer differs"),
        (parity.eos_equal, "other tokens end an answer"),
        (parity.shape_equal, "the file's metadata describe another model"),
    ]
    faults = [fault for equal, fault in checks if not equal]
    different = differences(parity)
    if faults or (different and not accept):
        advice = "Export in the dtype of the training, or without quantizing"
        if not faults:
            advice += "; --accept-difference exports it as it is and keeps these figures beside it"
        raise WorkFailed(
            f"The exported student is not the one that was trained: {'; '.join(faults + different)}, on {parity.prompts} "
            f"prompts. Nothing was exported. {advice}."
        )


def _answer_logprobs(side: Loaded, ids: list[int], start: int) -> Tensor:
    import torch

    tokens = torch.tensor([ids], device=side.device)
    logits = side.model(input_ids=tokens, attention_mask=torch.ones_like(tokens)).logits
    return torch.log_softmax(logits[0, start - 1 : -1].double().cpu(), -1)  # (answer, V)


def _common(mine: list[int], theirs: list[int]) -> int:
    """Length of the common prefix."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(mine, theirs, strict=False)))
