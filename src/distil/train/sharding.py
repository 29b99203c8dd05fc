"""FSDP2: weights, gradients and optimizer state split over the processes of a training, by torch's own `fully_shard`.

Not by accelerate's plugin, which turns itself on for several GPUs only and is plain DDP elsewhere: here two processes on a CPU
run what several GPUs run, so that tests see it. The model is sharded after it was checked and resumed, just before the optimizer
is made. Checkpoints hold whole tensors under their own names: they don't depend on the number of processes.
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from transformers import Trainer

from distil.errors import UserError
from distil.models.unwrap import causal_model
from distil.train.config import TrainConfig
from distil.train.weights import FILE, changing_tensors

OPTIMIZER, SCHEDULER = "optimizer.pt", "scheduler.pt"
WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True)


def shards_weights(section: TrainConfig) -> bool:
    """Whether this training shards. Raises UserError where it was asked for and can't be had: never DDP under another name."""
    if os.environ.get("ACCELERATE_USE_FSDP", "").lower() == "true":
        raise UserError(
            "This training was launched with accelerate's FSDP config. Distil shards the weights itself: set train.fsdp: true, "
            "and launch it with torchrun or with an accelerate config without fsdp_config."
        )
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    if section.fsdp and processes == 1:
        raise UserError(
            "train.fsdp: true splits the weights over several processes, and this training has one. Set train.processes to the "
            "number of GPUs, or train.fsdp: false."
        )
    return section.fsdp


def shard(model: torch.nn.Module, device: torch.device) -> None:
    """Splits the parameters in place: one group per block, one for the rest (embedding, head, last norm)."""
    mesh = init_device_mesh(device.type, (torch.distributed.get_world_size(),))
    blocks = set(getattr(causal_model(model), "_no_split_modules", None) or [])
    for module in [module for module in model.modules() if type(module).__name__ in blocks]:
        fully_shard(module, mesh=mesh)
    fully_shard(model, mesh=mesh)


def whole(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors, unsplit, on the CPU; tied ones stay one. Collective: every process must call it."""
    seen: dict[int, Tensor] = {}
    for tensor in tensors.values():
        if id(tensor) not in seen:
            plain = tensor.detach()
            seen[id(tensor)] = (plain.full_tensor() if isinstance(plain, DTensor) else plain).cpu()
    return {name: seen[id(tensor)] for name, tensor in tensors.items()}


class ShardingTrainer(Trainer):
    """transformers' Trainer that can shard its model; unchanged while `sharded` is false."""

    sharded = False

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """Shards the model first: the optimizer must see the pieces."""
        if self.sharded:
            assert self.model is not None
            shard(self.model, self.args.device)
            # Its evaluation mode is "without DDP".
            self.accelerator.prepare_model = partial(self.accelerator.prepare_model, evaluation_mode=True)
        return super().create_optimizer(model)

    def is_split(self) -> bool:
        """Whether the weights really are in pieces now: asked of the model, not of the settings."""
        return any(isinstance(weight, DTensor) for weight in self._trained().parameters())

    def save_whole(self, folder: Path, *, checkpoint: bool) -> None:
        """What `save_model` writes, from gathered tensors."""
        assert self.model is not None
        tensors = changing_tensors(self.model) if checkpoint else self.model.state_dict(keep_vars=True)
        gathered = whole(tensors)
        if not self.args.should_save:
            return
        if checkpoint:
            folder.mkdir(parents=True, exist_ok=True)
            torch.save(gathered, folder / FILE)
        else:
            self._save(str(folder), state_dict=gathered)

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        if not self.sharded:
            super()._save_optimizer_and_scheduler(output_dir)
            return
        state = get_optimizer_state_dict(self._trained(), self._plain_optimizer(), options=WHOLE)
        if self.args.should_save:
            torch.save(state, Path(output_dir) / OPTIMIZER)
            assert self.lr_scheduler is not None
            torch.save(self.lr_scheduler.state_dict(), Path(output_dir) / SCHEDULER)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if not self.sharded or checkpoint is None:
            super()._load_optimizer_and_scheduler(checkpoint)
            return
        state = torch.load(Path(checkpoint) / OPTIMIZER, map_location="cpu", weights_only=True)
        set_optimizer_state_dict(self._trained(), self._plain_optimizer(), state, options=WHOLE)
        assert self.lr_scheduler is not None
        self.lr_scheduler.load_state_dict(torch.load(Path(checkpoint) / SCHEDULER, weights_only=True))

    def _clip_grad_norm(self, model: Any) -> Any:
        norm = super()._clip_grad_norm(model)
        return norm.full_tensor() if isinstance(norm, DTensor) else norm

    def _plain_optimizer(self) -> torch.optim.Optimizer:
        """Inside accelerate's wrapper."""
        return cast("torch.optim.Optimizer", getattr(self.optimizer, "optimizer", self.optimizer))

    def _trained(self) -> torch.nn.Module:
        assert self.model is not None
        return self.model
