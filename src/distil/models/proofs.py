"""Proofs on the user's own model, in seconds, before it is trained; each finds a silent fault that some trainer has shipped.

The logits that a training sees are the model's own, no token sees what follows it, the taught end stops generation, and what is
saved is read back whole. What depends on examples and losses is in distil.train (selfcheck.py).
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from distil.models.generate import generate
from distil.models.head import forced_token, head_equation, head_rows
from distil.models.load import Loaded, load, stop_ids
from distil.models.shape import EXPERTS
from distil.models.sizing import free_ram
from distil.models.unwrap import causal_model
from distil.records import Sampling
from distil.runs.jsonl import read_json

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

READ_BACK_BYTES = 1 << 30
"""A larger model is not saved and read back before the training, which would take more than seconds."""
SHOWN_NAMES = 3


@dataclass(frozen=True)
class Check:
    """One check and what it measured."""

    name: str
    ok: bool
    detail: str
    """The measured figure, for a person."""


def check_head(model: torch.nn.Module) -> Check:
    """The logits that a training sees are the model's own. UserError where they can't be (models/head.py)."""
    found = head_equation(causal_model(model))
    parts = [
        "" if found.scale == 1.0 else f"factor {found.scale:.6g}",
        "" if found.softcap is None else f"soft cap {found.softcap:.6g}",
        "" if found.from_decoder else "read where they enter the output layer",
        f"relative difference {found.error:.1e}",
    ]
    return Check("the head's logits are the model's own", True, ", ".join(filter(None, parts)))


def check_causal(model: torch.nn.Module) -> Check:
    """No token sees the tokens after it: an encoder would learn to copy.

    Two texts of one length that differ in their last tokens: texts of two lengths would be multiplied by two kernels, whose
    rounding alone is 6% in an 8B model with 4-bit weights on a GPU.
    """
    import torch

    inner = causal_model(model)
    device = next(inner.parameters()).device
    vocabulary = inner.get_output_embeddings().weight.shape[0]
    ids = torch.arange(3, 11, device=device)[None] % vocabulary
    others = torch.cat([ids[:, :5], (ids[:, 5:] + max(1, vocabulary // 2)) % vocabulary], dim=1)
    was_training = inner.training
    inner.eval()
    with torch.no_grad():
        rows = [
            head_rows(inner, {"input_ids": text, "attention_mask": torch.ones_like(text), "use_cache": False})[0, :5]
            for text in (ids, others)
        ]
    inner.train(was_training)
    error = relative_difference(rows[0], rows[1])
    return Check(
        "no token sees what follows it", not error > _seen(inner), f"relative difference {error:.1e} over 5 tokens"
    )


def _seen(model: PreTrainedModel) -> float:
    """Differences above this are of what was seen. One kernel rounds alike; experts, and numbers scaled by a tensor's largest,
    depend on the other rows."""
    config = model.config.get_text_config()
    experts = any(getattr(config, name, None) for name in (*EXPERTS, "moe_num_experts", "ffn_config"))
    scaled = getattr(model, "quantization_method", None) is not None and not getattr(model, "is_loaded_in_4bit", False)
    return tolerance(model) if experts or scaled else min(tolerance(model), 1e-3)


def relative_difference(found: torch.Tensor, expected: torch.Tensor) -> float:
    """In the norm, in float32; nan where a value is not a number."""
    return float((found.float() - expected.float()).norm() / expected.float().norm().clamp(min=1e-12))


def tolerance(model: torch.nn.Module) -> float:
    """What rounding may change, by the dtype of the weights."""
    import torch

    return 1e-4 if next(model.parameters()).dtype in (torch.float32, torch.float64) else 0.05


# ---- the end of an answer


def join_ends(model: PreTrainedModel, ends: Iterable[int]) -> list[int]:
    """Adds the taught end tokens to the model's generation config, which is saved with it. Returns those that were new."""
    from transformers import GenerationConfig

    if getattr(model, "generation_config", None) is None:
        model.generation_config = GenerationConfig.from_model_config(model.config)
    known = _listed(model.generation_config.eos_token_id)
    new = [end for end in ends if end not in known]
    if new:
        model.generation_config.eos_token_id = [*known, *new]
    return new


def write_ends(folder: Path, ends: Iterable[int]) -> None:
    """The same for a saved model or adapter: `generation_config.json` names every taught end."""
    path = folder / "generation_config.json"
    saved = read_json(path) if path.exists() else {}
    known = _listed(saved.get("eos_token_id"))
    new = [end for end in ends if end not in known]
    if new:
        path.write_text(json.dumps(saved | {"eos_token_id": [*known, *new]}, indent=2) + "\n", encoding="utf-8")


def _listed(ids: int | Sequence[int] | None) -> list[int]:
    return [ids] if isinstance(ids, int) else [int(i) for i in ids or []]


def check_end(student: Loaded, prompt: list[int], ends: Sequence[int]) -> Check:
    """Generation stops at each taught end: the output layer is made to give that token, and the answer must be it alone."""
    names, kept = [], []
    for end in ends:
        with forced_token(causal_model(student.model), end):
            answer = generate(student, [prompt], Sampling(temperature=0, max_tokens=3))[0]
        names.append(student.decode([end]))
        kept.append(answer.token_ids == [end] and answer.finish_reason == "stop")
    stops = sorted(student.decode([i]) for i in stop_ids(student.model, student.tokenizer))
    detail = f"taught {', '.join(names) or 'nothing'}; stops at {', '.join(stops)}"
    return Check("generation stops at the end that is taught", bool(kept) and all(kept), detail)


# ---- what is saved is read back


def check_saving(student: Loaded, folder: Path) -> Check | None:
    """Saves the student below `folder` as the training will, reads it back and compares every tensor. None for a large one."""
    model = causal_model(student.model)
    if sum(p.numel() * p.element_size() for p in model.parameters()) > READ_BACK_BYTES:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    place = Path(tempfile.mkdtemp(prefix=".proof-", dir=folder))
    try:
        model.save_pretrained(place)
        student.tokenizer.save_pretrained(place)
        faults = unlike_saved(model, place)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    count = len(model.state_dict())
    return Check("a saved student is read back whole", not faults, "; ".join(faults) or f"{count} tensors, bit for bit")


def unlike_saved(model: PreTrainedModel, folder: Path) -> list[str]:
    """How a saved folder, once loaded, differs from the model in memory: names and values of all tensors. Empty = it does not."""
    import torch

    own = model.state_dict()
    dtype = str(model.dtype).removeprefix("torch.")
    read = causal_model(load(str(folder), dtype=dtype, device="cpu").model).state_dict()
    other = {n for n in own.keys() & read.keys() if own[n].shape != read[n].shape}
    changed = {
        name
        for name in own.keys() & read.keys() - other
        if not torch.equal(own[name].detach().cpu().nan_to_num(), read[name].to(own[name].dtype).nan_to_num())
    }
    kinds = {"are missing": own.keys() - read.keys(), "are new": read.keys() - own.keys(), "have another shape": other}
    return [
        f"{len(names)} tensors {what} ({', '.join(sorted(names)[:SHOWN_NAMES])})"
        for what, names in {**kinds, "have other values": changed}.items()
        if names
    ]


def copy_fits(parameters: Iterable[torch.Tensor]) -> bool:
    """Whether a second copy of these fits into half of the processor's free memory."""
    return 2 * sum(p.numel() * p.element_size() for p in parameters) < free_ram()
