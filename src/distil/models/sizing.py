"""Will it fit, and how long will it take? Sizes of models and bytes of training, from config files and names alone.

Arithmetic without torch, before anything is loaded. Estimates: within about 20% for full training in our experience.
"""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import struct
import subprocess
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel

GIB = 1 << 30
CPU_FLOPS_PER_CORE = 60e9  # measured: a 10M Llama trains at 2,200 tokens/s on 2 cores = 66 GFLOP/s a core, float32
GPU_UTILISATION = 0.35  # of the peak below, typical for fine-tuning small models
GPU_PEAK_FLOPS = {  # dense bf16 from the vendors' data sheets
    "H200": 989e12, "H100": 989e12, "A100": 312e12, "L40S": 362e12, "L4": 121e12,
    "A10": 125e12, "4090": 165e12, "3090": 71e12, "T4": 65e12,
}  # fmt: skip
UNKNOWN_GPU_FLOPS = 70e12
# What the fused loss holds of the logits at most: the budgets of objectives/chunks.py, on an accelerator and on a CPU.
LOGIT_BYTES_ACCELERATOR, LOGIT_BYTES_CPU = 2 << 30, 448 << 20
CPU_MICRO_TOKENS = 2048  # activations of small students stay in the caches; measured 6% less CPU time than 4,096
GPU_MICRO_TOKENS = 16384


def default_micro_tokens(*, gpu: bool) -> int:
    """Tokens of one forward pass in training, unless train.micro_batch_tokens sets it."""
    return GPU_MICRO_TOKENS if gpu else CPU_MICRO_TOKENS


class Shape(NamedTuple):
    """The size of a model."""

    parameters: int
    hidden: int
    layers: int
    source: str
    """config.json | the name | assumed."""


class Memory(NamedTuple):
    """Bytes that a training needs."""

    weights: int
    optimizer: int
    """Gradients and Adam's two moments (and the float32 copy of half-precision weights)."""
    activations: int
    teacher: int
    """The teacher's weights, when it is in memory too."""
    logits: int
    """What the fused loss holds at most; less where the vocabulary is small."""

    @property
    def total(self) -> int:
        return sum(self)


class Machine(NamedTuple):
    """What this machine has."""

    cores: int
    ram: int
    gpu_name: str | None
    gpus: int
    gpu_memory: int
    """Of one GPU, in bytes; 0 without."""

    @property
    def flops(self) -> float:
        """Training operations per second to expect."""
        if not self.gpu_name:
            return self.cores * CPU_FLOPS_PER_CORE
        peak = next((f for key, f in GPU_PEAK_FLOPS.items() if key in self.gpu_name), UNKNOWN_GPU_FLOPS)
        return peak * GPU_UTILISATION * self.gpus

    @property
    def memory(self) -> int:
        """Bytes that one training process can use."""
        return self.gpu_memory or self.ram


def this_machine() -> Machine:
    """Cores, memory and NVIDIA GPUs (asked through nvidia-smi where it is installed)."""
    ram = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    query = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    if shutil.which(query[0]):
        done = subprocess.run(query, capture_output=True, text=True, check=False, timeout=20)
        rows = [line.rsplit(",", 1) for line in done.stdout.splitlines() if "," in line]
        if done.returncode == 0 and rows:
            return Machine(cores, ram, rows[0][0].strip(), len(rows), min(int(r[1]) for r in rows) << 20)
    return Machine(cores, ram, None, 0, 0)


def model_shape(ref: str) -> Shape | None:
    """Size of `bundled/...`, a folder with config.json, or a hub id that says it (Qwen3-0.6B, Llama-3-8B). None = unknown."""
    folder = _folder(ref)
    if (folder / "config.json").exists():
        config = _ModelConfig.model_validate_json((folder / "config.json").read_bytes())
        stored = sum(_stored_parameters(file) for file in folder.glob("*.safetensors"))
        parameters = stored or _parameters(config)
        return Shape(parameters, config.hidden_size or 0, config.num_hidden_layers or 0, "config.json")
    match = re.search(r"(?<![\w.])(\d+(?:\.\d+)?)\s?([bBmM])(?![a-zA-Z])", ref.replace("-", " ").replace("_", " "))
    if not match:
        return None
    parameters = int(float(match[1]) * (1e9 if match[2] in "bB" else 1e6))
    layers = max(4, round(8 * (parameters / 1e8) ** 0.35))
    return Shape(parameters, round((parameters / (12 * layers)) ** 0.5), layers, "the name")


def _folder(ref: str) -> Path:
    if ref.startswith("bundled/"):
        return Path(__file__).parents[1] / "bundled" / "models" / ref.removeprefix("bundled/")
    return Path(ref.removeprefix("local/"))


def _stored_parameters(file: Path) -> int:
    """Parameters in a safetensors file, from its header alone."""
    with file.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        header: dict[str, dict[str, list[int]]] = json.loads(stream.read(length))
    return sum(math.prod(tensor["shape"]) for name, tensor in header.items() if name != "__metadata__")


class _ModelConfig(BaseModel):
    """The sizes in a model's config.json."""

    hidden_size: int | None = None
    num_hidden_layers: int | None = None
    num_attention_heads: int | None = None
    num_key_value_heads: int | None = None
    head_dim: int | None = None
    intermediate_size: int | None = None
    vocab_size: int | None = None
    tie_word_embeddings: bool | None = None


def _parameters(config: _ModelConfig) -> int:
    """Parameters of a Llama- or Qwen-shaped transformer from its config: attention, gated MLP, embeddings."""
    hidden, heads = config.hidden_size or 0, config.num_attention_heads or 1
    key_value = (config.num_key_value_heads or heads) * (config.head_dim or hidden // heads)
    block = 2 * hidden * hidden + 2 * hidden * key_value + 3 * hidden * (config.intermediate_size or 4 * hidden)
    embeddings = (config.vocab_size or 0) * hidden * (1 if config.tie_word_embeddings else 2)
    return (config.num_hidden_layers or 0) * block + embeddings


def training_memory(
    shape: Shape,
    *,
    micro_tokens: int,
    adapter: bool = False,
    four_bit: bool = False,
    half: bool = True,
    checkpointing: bool = False,
    teacher: Shape | None = None,
) -> Memory:
    """Bytes to train `shape` on micro-batches of `micro_tokens` tokens.

    Weights, gradients and Adam: 16 bytes a parameter (Rajbhandari et al. 2020, ZeRO); LoRA trains about 1% of the parameters.
    Activations: 34 x hidden bytes a token and layer in half precision, attention kept out of memory (Korthikanti et al. 2022);
    with checkpointing only the layer inputs and one layer.
    """
    size = 2 if half else 4
    per_token_layer = 34 * shape.hidden * (size // 2)
    layers = 1 if checkpointing else shape.layers
    kept_inputs = shape.layers * shape.hidden * size if checkpointing else 0
    activations = micro_tokens * (per_token_layer * layers + kept_inputs)
    weights = int(shape.parameters * (0.6 if four_bit else size))
    trained = 0.01 if adapter else 1.0
    optimizer = int(shape.parameters * trained * (16 if adapter else 16 - size))
    teacher_weights = int(teacher.parameters * size) if teacher else 0
    logits = LOGIT_BYTES_ACCELERATOR if half else LOGIT_BYTES_CPU
    return Memory(weights, optimizer, activations, teacher_weights, logits)


def training_seconds(shape: Shape, tokens: int, machine: Machine, *, teacher: Shape | None = None) -> float:
    """6 operations a parameter and trained token (Kaplan et al. 2020), and 2 a token for a teacher's forward."""
    operations = 6 * shape.parameters * tokens + (2 * teacher.parameters * tokens if teacher else 0)
    return operations / machine.flops
