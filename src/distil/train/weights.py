"""A checkpoint's weights under the names that torch gives them, so that what is read back is exactly what was written.

transformers saves many families (Gemma 3, mixtures of experts, Nemotron-H, ...) under other names than their parameters have, and
its Trainer loads a checkpoint without converting them back and without an error. Not the final model: that is a Hugging Face
folder under the published names (run.py), read back and compared before the checkpoints are deleted.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from distil.errors import WorkFailed
from distil.ids import content_id

FILE = "weights.pt"
SHOWN_NAMES = 3
SAMPLED_VALUES = 16


def changing_tensors(model: torch.nn.Module) -> dict[str, Tensor]:
    """What a training changes: each trainable parameter once (tied ones under their first name) and the saved buffers."""
    saved = model.state_dict(keep_vars=True)
    buffers = {name: tensor for name, tensor in model.named_buffers() if name in saved}
    return {name: p for name, p in model.named_parameters() if p.requires_grad} | buffers


def write_weights(model: torch.nn.Module, folder: Path) -> None:
    """Writes `changing_tensors` into a checkpoint's folder."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.save({name: tensor.detach() for name, tensor in changing_tensors(model).items()}, folder / FILE)


def read_weights(model: torch.nn.Module, folder: Path) -> None:
    """Puts a checkpoint's tensors into the model. Raises WorkFailed, before any is changed, unless names and shapes are equal."""
    file, own = folder / FILE, changing_tensors(model)
    if not file.is_file():
        raise WorkFailed(f"{folder} holds no {FILE}, so it can't be resumed. {_advice(folder)}")
    read: dict[str, Tensor] = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
    faults = [
        *_named("are missing", own.keys() - read.keys()),
        *_named("are not in this model", read.keys() - own.keys()),
        *_named("have another shape", {n for n in own.keys() & read.keys() if own[n].shape != read[n].shape}),
    ]
    if faults:
        raise WorkFailed(
            f"{file} does not fit the student: {'; '.join(faults)}. Nothing was trained. {_advice(folder)}"
        )
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(read[name])


def frozen_weights(model: torch.nn.Module) -> str | None:
    """A hash over samples of the parameters that are not trained (the base below an adapter); None where all are trained."""
    samples = [_sample(name, p) for name, p in model.named_parameters() if not p.requires_grad]
    return content_id("weights", samples) if samples else None


def weights_hash(model: torch.nn.Module) -> str:
    """A hash over samples of all parameters."""
    return content_id("weights", [_sample(name, p) for name, p in model.named_parameters()])


def _sample(name: str, parameter: torch.nn.Parameter) -> list[object]:
    values = parameter.detach().reshape(-1)[:: max(parameter.numel() // SAMPLED_VALUES, 1)]
    return [name, list(parameter.shape), values.double().tolist()]


def _named(fault: str, names: set[str]) -> list[str]:
    shown = ", ".join(sorted(names)[:SHOWN_NAMES]) + (", ..." if len(names) > SHOWN_NAMES else "")
    return [f"{len(names)} tensors {fault} ({shown})"] if names else []


def _advice(folder: Path) -> str:
    return f"To start over and keep what is there, run `distil train --as {folder.parent.parent.name} --force`."
