"""How likely a local model finds the teacher's answers, and how far its distributions are from a local teacher's.

Only when evaluate.metrics names `perplexity` or `kl`: every answer is read once more by every model. The metrics on top of these
figures are in metrics/likelihood.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from distil.errors import UserError
from distil.evaluate.local import Candidate
from distil.models.fingerprint import shared_prefix
from distil.models.load import Loaded, load
from distil.models.render import render
from distil.progress import bar
from distil.records import Example

if TYPE_CHECKING:
    from torch import Tensor

METRICS = frozenset({"perplexity", "kl"})
LEAST_SHARED = 0.9
"""Share of the teacher's tokens that both vocabularies must have at the same ids."""


class Likelihood(NamedTuple):
    """One model on one of the teacher's answers."""

    nll: float
    """Mean negative log-likelihood of the answer's tokens, its end included, in nats."""
    kl: float | None
    """Mean KL(teacher || model) over the same tokens, in nats; None without the teacher's logits or with another tokenization."""


class Measured(NamedTuple):
    """Of all models that were at hand."""

    models: dict[str, dict[str, Likelihood]]
    """model -> prompt id -> likelihood; prompts that a model can't render are left out."""
    notes: list[str]
    """What was not measured, and why."""


def measure(models: Sequence[Candidate], teacher: str | None, examples: Sequence[Example], *, kl: bool) -> Measured:
    """Reads the teacher's answers with every model. Raises UserError when a model can't be loaded."""
    notes = [] if models else ["perplexity and kl were not measured: they need the model itself, not only its answers."]
    if kl and models and teacher is None:
        notes.append("kl was not measured: it needs a local copy of the teacher (evaluate.local_teacher).")
    found: dict[str, dict[str, Likelihood]] = {}
    loaded = load(teacher) if kl and teacher is not None and models else None
    for candidate in models:
        model = load(candidate.ref, dtype=candidate.dtype, template=candidate.template)
        shared = _shared(model, loaded) if loaded is not None else 0
        if loaded is not None and not shared:
            notes.append(f"kl of {candidate.label} was not measured: its tokenizer is not the teacher's.")
        with bar(f"{candidate.label} reads the answers", len(examples), "prompts") as running:
            rows = {}
            for example in examples:
                if (value := _likelihood(model, loaded if shared else None, example, shared)) is not None:
                    rows[example.prompt_id] = value
                running.advance()
        found[candidate.label] = rows
        if len(rows) < len(examples):
            notes.append(
                f"{candidate.label} can't render {len(examples) - len(rows):,} of the answers with its template."
            )
    return Measured(found, notes)


def _shared(model: Loaded, teacher: Loaded) -> int:
    """Ids, counted from 0, that mean the same to both; 0 where the tokenizers are of different families."""
    shared = shared_prefix(model.tokenizer, teacher.tokenizer)
    return shared if shared >= LEAST_SHARED * len(teacher.tokenizer.get_vocab()) else 0


def _likelihood(model: Loaded, teacher: Loaded | None, example: Example, shared: int) -> Likelihood | None:
    read = _read(model, example)
    if read is None:
        return None
    ids, logits = read  # (answer,), (answer, V)
    chosen = logits.log_softmax(-1).gather(-1, ids[:, None])
    theirs = _read(teacher, example) if teacher is not None else None
    return Likelihood(-float(chosen.mean()), _divergence(ids, logits, theirs, shared) if theirs is not None else None)


def _divergence(ids: Tensor, logits: Tensor, theirs: tuple[Tensor, Tensor], shared: int) -> float | None:
    """KL(teacher || model) over the shared vocabulary, in nats per token."""
    if ids.tolist() != theirs[0].tolist():
        return None
    ours, target = (rows[:, :shared].log_softmax(-1) for rows in (logits, theirs[1]))
    return max(0.0, float((target.exp() * (target - ours)).sum(-1).mean()))


def _read(side: Loaded, example: Example) -> tuple[Tensor, Tensor] | None:
    """(ids of the answer (N,), logits that predict them (N, V) in float64 on the CPU); None where the template can't show it."""
    import torch

    try:
        rendered = render(side.tokenizer, example.messages, tools=example.tools)
    except UserError:
        return None
    learned = [i for i, answer in enumerate(rendered.answer_mask) if answer and i > 0]
    if not learned:
        return None
    tokens = torch.tensor([rendered.input_ids], device=side.device)
    with torch.inference_mode():
        logits = side.model(input_ids=tokens, attention_mask=torch.ones_like(tokens)).logits[0]
    rows = torch.tensor([i - 1 for i in learned], device=logits.device)
    return tokens[0, learned].cpu(), logits[rows].double().cpu()
