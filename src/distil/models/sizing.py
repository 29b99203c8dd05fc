"""Machines and how fast they train; the bytes of a training that hold for every model. Without torch.

The size of a model is in shape.py, what a pass keeps in distil.train.footprint, and all together in distil.fit.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from typing import NamedTuple

from distil.errors import UserError, did_you_mean

GIB = 1 << 30
CPU_FLOPS_PER_CORE = 60e9  # measured: a 10M Llama trains at 2,200 tokens/s on 2 cores = 66 GFLOP/s a core, float32
# Of the peak below. On an H200: all weights of a 1B Llama 31% to 35%; LoRA on 1B and 8B, QLoRA on 1B 17% to 22%
# (docs/results_decide.md).
GPU_UTILISATION, ADAPTER_UTILISATION = 0.35, 0.2
CPU_MICRO_TOKENS = 2048  # activations of small students stay in the caches; measured 6% less CPU time than 4,096
GPU_MICRO_TOKENS = 16384


class Gpu(NamedTuple):
    """A card that is known by name."""

    gib: int
    """Memory."""
    flops: float
    """Dense peak in bfloat16 with float32 sums, from the vendor's data sheet; float32 where the card has no bfloat16."""
    usd_per_hour: float | None = None
    """List price of one card on demand; None = not in the list."""
    bfloat16: bool = True
    """Whether it computes in it. Older cards emulate it, slowly: on them Distil computes in float32."""


PRICES_FROM = "docs.runpod.io/serverless/pricing (flex workers by the second, read 2026-11-29)"
"""Where usd_per_hour comes from."""
GPUS = {
    "B200": Gpu(180, 2250e12, 8.64), "H200": Gpu(141, 989e12, 5.58), "GH200": Gpu(96, 989e12),
    "H100": Gpu(80, 989e12, 4.18), "H100 PCIe": Gpu(80, 756e12, 4.18), "H100 NVL": Gpu(94, 835e12),
    "H20": Gpu(96, 148e12), "A100": Gpu(80, 312e12, 2.74), "A100 40GB": Gpu(40, 312e12), "A800": Gpu(80, 312e12),
    "L40S": Gpu(48, 362e12, 1.91), "L40": Gpu(48, 181e12, 1.91), "L4": Gpu(24, 121e12, 0.68),
    "A10": Gpu(24, 125e12), "A10G": Gpu(24, 70e12), "A40": Gpu(48, 150e12, 1.22), "A30": Gpu(24, 165e12),
    "RTX 5090": Gpu(32, 209e12), "RTX 4090": Gpu(24, 165e12, 1.12), "RTX 3090": Gpu(24, 71e12, 0.68),
    "RTX 4080": Gpu(16, 97e12), "RTX 4070": Gpu(12, 58e12), "RTX 3060": Gpu(12, 25e12),
    "RTX A6000": Gpu(48, 155e12, 1.22), "RTX 6000 Ada": Gpu(48, 182e12, 1.91),
    "V100": Gpu(16, 15.7e12, bfloat16=False), "T4": Gpu(16, 8.1e12, bfloat16=False),
}  # fmt: skip


def default_micro_tokens(*, gpu: bool) -> int:
    """Tokens of one forward pass in training, unless train.micro_batch_tokens sets it."""
    return GPU_MICRO_TOKENS if gpu else CPU_MICRO_TOKENS


class Memory(NamedTuple):
    """Bytes that a training needs in one process, at its peak."""

    weights: int
    optimizer: int
    """Gradients and Adam's two moments."""
    activations: int
    """What the backward pass needs of the forward pass, with 16-bit copies of the weights on a GPU."""
    teacher: int
    """The teacher's weights and forward pass, when it is in memory too."""
    logits: int
    """What the fused loss holds: a chunk of logits and the gradient of the output layer."""
    process: int = 0
    """Python, torch and what the allocator holds back."""
    saving: int = 0
    """All of it at the end, when the student is saved and compared: above the rest for LoRA with short passes."""
    writing: int = 0
    """All of it while the student writes its own texts: above the rest for long or many of them."""
    trying: int = 0
    """All of it while learning rates are tried, with a copy of the weights to come back to."""

    @property
    def total(self) -> int:
        return max(sum(self[:6]), self.saving, self.writing, self.trying)


class Machine(NamedTuple):
    """What a machine has."""

    cores: int
    ram: int
    """Bytes; 0 = not known (a machine that is only named)."""
    gpu_name: str | None
    gpus: int
    gpu_memory: int
    """Of one GPU, in bytes; 0 without."""

    @property
    def card(self) -> Gpu | None:
        """What is known of its GPU; None = nothing, or no GPU."""
        return known_gpu(self.gpu_name) if self.gpu_name else None

    @property
    def bfloat16(self) -> bool:
        """Whether its GPU computes in bfloat16; cards that are not known do."""
        return self.card is None or self.card.bfloat16

    @property
    def flops(self) -> float | None:
        """Training operations per second of one process to expect; None for a card that is not known."""
        if not self.gpu_name:
            return self.cores * CPU_FLOPS_PER_CORE
        return self.card.flops * GPU_UTILISATION if self.card else None

    @property
    def memory(self) -> int:
        """Bytes that one training process can use."""
        return self.gpu_memory or self.ram

    def __str__(self) -> str:
        """8 x NVIDIA H100 80GB HBM3 (80 GiB each) | 2 CPU cores, 24 GiB"""
        if not self.gpu_name:
            return f"{self.cores} CPU core{'s' if self.cores > 1 else ''}, {self.ram / GIB:.0f} GiB"
        each = " each" if self.gpus > 1 else ""
        return f"{self.gpus} x {self.gpu_name} ({self.gpu_memory / GIB:.0f} GiB{each})"


def known_gpu(name: str) -> Gpu | None:
    """The card of nvidia-smi's name or a short one; None where none of the names fits. Laptop cards are others."""
    words = re.findall(r"[a-z0-9]+", name.lower().replace("40gb", "40gb "))
    if "laptop" in words or "max" in words:
        return None
    fitting = [key for key in GPUS if all(part in words for part in re.findall(r"[a-z0-9]+", key.lower()))]
    bare = [key for key in GPUS if key.startswith("RTX ") and key.removeprefix("RTX ").lower() in words]
    best = max([*fitting, *bare], key=len, default=None)
    return GPUS[best] if best else None


def named_machine(text: str) -> Machine:
    """`8xH100`, `RTX 4090`, or any card with its memory in GiB: `4xMI300X:192`. Raises UserError for others."""
    match = re.fullmatch(
        r"\s*(?:(\d+)\s*x\s*)?([^:]+?)\s*(?::\s*(\d+(?:\.\d+)?)\s*(?:GiB|GB|G)?)?\s*", text, re.IGNORECASE
    )
    card = known_gpu(match[2]) if match else None
    if match is None or (card is None and match[3] is None) or (match[1] is not None and int(match[1]) == 0):
        raise UserError(
            f"The machine {text!r} is not known.{did_you_mean(match[2] if match else text, GPUS)} Expected a number of cards and "
            "a name, such as 8xH100 or 'RTX 4090', or a name with the memory of one card in GiB, such as 4xMI300X:192."
        )
    gib = float(match[3]) if match[3] else float(card.gib if card else 0)
    return Machine(0, 0, match[2].strip(), int(match[1] or 1), int(gib * GIB))


def this_machine() -> Machine:
    """Cores, memory (of the container, where one limits it) and NVIDIA GPUs, asked through nvidia-smi where it is installed."""
    ram = _ram()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    query = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    if shutil.which(query[0]):
        done = subprocess.run(query, capture_output=True, text=True, check=False, timeout=20)
        rows = [line.rsplit(",", 1) for line in done.stdout.splitlines() if "," in line]
        if done.returncode == 0 and rows:
            # a chip that shares the processor's memory says [N/A]
            memory = min(int(row[1]) << 20 if row[1].strip().isdigit() else ram for row in rows)
            return Machine(cores, ram, rows[0][0].strip(), len(rows), memory)
    return Machine(cores, ram, None, 0, 0)


def _ram() -> int:
    """Bytes of memory, or a container's limit."""
    ram = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for file in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        if os.path.exists(file):
            with open(file, encoding="ascii") as stream:
                limit = stream.read().strip()
            return min(ram, int(limit)) if limit.isdigit() else ram
    return ram


def free_ram() -> int:
    """Bytes of memory that are free now, or can be had from caches where the system says so."""
    pages = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if not os.path.exists("/proc/meminfo"):
        return pages
    with open("/proc/meminfo", encoding="ascii") as lines:
        said = dict(line.split(":", 1) for line in lines)
    return int(said["MemAvailable"].split()[0]) << 10 if "MemAvailable" in said else pages


def training_seconds(
    parameters: int,
    tokens: int,
    machine: Machine,
    *,
    processes: int = 1,
    teacher: int = 0,
    operations: int = 6,
    adapter: bool = False,
) -> float | None:
    """Seconds: `operations` a parameter and trained token (6: Kaplan et al. 2020; 2 more where the forward pass is done again, 2
    less for an adapter), and 2 a token for a teacher's forward. Parameters: those that are active in a token. adapter: a GPU
    spends much of the time beside the products. None = the speed of this GPU is not known.

    Processes on a CPU share its cores.
    """
    if machine.flops is None:
        return None
    total: float = (operations * parameters + 2 * teacher) * tokens
    if adapter and machine.gpu_name:
        total *= GPU_UTILISATION / ADAPTER_UTILISATION
    return total / (machine.flops * (min(processes, machine.gpus) if machine.gpu_name else 1))
