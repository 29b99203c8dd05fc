"""The peak memory of one process of a training: the formula behind plan, doctor and `benchmarks/memory.py`.

What differs from other trainers: full training has float32 weights, gradients and Adam's moments (16 bytes a parameter, on GPUs 2
more for the 16-bit copies that autocast keeps), because AdamW's small steps vanish in bfloat16; a pass has 16,384 tokens on a GPU
and 2,048 on a CPU, however many texts that is; the logits exist a chunk at a time. docs/results_decide.md has the formula beside
measured trainings.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from functools import lru_cache

from distil.models.shape import Shape
from distil.models.sizing import GIB, Memory
from distil.train.footprint import PLAIN, Footprint, plain_footprint, rule_of_thumb
from distil.train.rate import step_of_test
from distil.train.writing import Writing, writing_bytes

PROCESS_CPU, PROCESS_GPU = int(0.6 * GIB), int(1.0 * GIB)
"""Python with torch and transformers in RAM; on a GPU the CUDA context and the libraries' workspaces."""
HELD_BACK, HELD_BACK_ADAPTER, HELD_BACK_GPU = 0.2, 1.4, 0.05
"""Share of the activations that the allocator does not give back to others: glibc's, with an adapter, and a GPU's. An adapted
layer frees several tensors between two that are kept, and the holes fit little else (measured: docs/results_decide.md)."""
BACKWARD_TENSORS = 3
"""Tensors of the widest layer that a backward pass has at once."""
FOUR_BIT = 0.516
"""Bytes a parameter in nf4 with double quantization: half a byte and the scales (Dettmers et al. 2023). Embeddings stay whole."""
CHUNK_ROWS, CHUNK_BYTES, ACCELERATOR_BYTES, ACCELERATOR_BUFFERS = 1024, 448 << 20, 2 << 30, 5
"""Of the fused loss: distil/objectives/chunks.py, which needs torch."""


@dataclass(frozen=True)
class Texts:
    """The texts of a training."""

    tokens: float = 512.0
    """Of one, on average."""
    longest: int = 1024
    learned: float = 0.35
    """Share of the tokens that are learned: the answers'."""
    count: int | None = None
    """None = many."""
    prompt: int = 660
    """Tokens of the longest prompt."""
    answer: int = 360
    """Of the longest answer."""


@dataclass(frozen=True)
class Setup:
    """What decides the memory of a training."""

    student: Shape
    gpu: bool
    micro_tokens: int
    batch_size: int = 32
    texts: Texts = Texts()
    rank: int | None = None
    """Of the LoRA adapter; None = full training."""
    four_bit: bool = False
    checkpointing: bool = False
    packing: bool = True
    processes: int = 1
    fsdp: bool = False
    teachers: tuple[Shape, ...] = ()
    """In memory."""
    writing: Writing | None = None
    """What the student writes itself in this process."""
    tried: int = 0
    """Examples that a test of learning rates may read, in one process; 0 = none is made."""
    tried_share: float = 0.0
    """Of the tokens of the whole training, those that the test reads."""
    bfloat16: bool = True
    """Whether its GPU, if it is one, computes in it; older cards compute in float32."""

    @property
    def half(self) -> bool:
        """Whether products are in bfloat16, and what is only read is kept in it."""
        return self.gpu and self.bfloat16

    @property
    def footprint(self) -> Footprint:
        """Of the student's forward pass."""
        length = max(8, min(int(self.texts.tokens), self.micro_tokens, 4096))
        return footprint(
            self.student.config,
            tokens=length,
            rank=self.rank,
            half=self.half,
            packing=self.packing,
            parameters=self.student.parameters,
        )

    @property
    def splits(self) -> bool:
        """Whether FSDP can split the weights: a student that writes in this process needs all of them."""
        return self.writing is None

    @property
    def tries(self) -> bool:
        """Whether learning rates are tried with a copy of the weights in this memory: a GPU's copy is in RAM (range_test.py)."""
        return self.tried > 0 and self.processes == 1 and not self.gpu

    @property
    def shards(self) -> int:
        """Into how many parts weights, gradients and optimizer are split."""
        return self.processes if self.fsdp else 1

    @property
    def passes(self) -> tuple[float, float, int]:
        """(tokens of the largest pass, tokens of the last, number) of a step in one process."""
        step = max(self.texts.tokens, self.batch_size * self.texts.tokens / self.processes)
        if self.texts.count is not None:
            step = min(step, max(1, self.texts.count) * self.texts.tokens)
        per_pass = max(1, int(self.micro_tokens // max(1.0, self.texts.tokens))) * self.texts.tokens
        number = max(1, math.ceil(step / per_pass - 1e-6))
        largest = min(step, per_pass)
        return max(largest, min(self.texts.longest, step)), step - (number - 1) * per_pass, number


@lru_cache(maxsize=128)
def footprint(config: str, *, tokens: int, rank: int | None, half: bool, packing: bool, parameters: int) -> Footprint:
    """By the formula where the family and packed rows allow it, else counted (which loads torch), else by a rule of thumb."""
    data: dict[str, object] = json.loads(config)
    if packing and data.get("model_type") in PLAIN:
        return plain_footprint(data, rank=rank, half=half, parameters=parameters)
    try:
        from distil.train.traced import traced_footprint  # loads torch and transformers
    except ImportError:  # without the training extra
        return rule_of_thumb(data, rank=rank, half=half, parameters=parameters)
    return traced_footprint(config, tokens=tokens, rank=rank, half=half, packing=packing, parameters=parameters)


def weight_bytes(shape: Shape, *, half: bool, trained: bool, four_bit: bool = False) -> int:
    """Bytes of a model's weights: float32 where they are trained or computed with (`Setup.half`), else bfloat16."""
    if four_bit:
        return int((shape.parameters - shape.embedding) * FOUR_BIT + shape.embedding * 2)
    return shape.parameters * (4 if trained or not half else 2)


def training_memory(setup: Setup) -> Memory:
    """Bytes of one process at the peak."""
    memory = _steps(setup)
    if not setup.tries:
        return memory
    step = smaller(setup, batch_size=step_of_test(setup.tried, setup.batch_size))
    return memory._replace(trying=sum(_steps(step)[:6]) + 4 * setup.footprint.trained)


def _steps(setup: Setup) -> Memory:
    """Of a training without the test of learning rates."""
    shape, traced = setup.student, setup.footprint
    full, split = setup.rank is None, setup.shards
    adapter = 0 if full else traced.trained * 4
    weights = weight_bytes(shape, half=setup.half, trained=full, four_bit=setup.four_bit)
    gradients, moments = 4 * traced.trained, 8 * traced.trained
    gathered = _gathered(setup)
    largest, last, number = setup.passes
    casts = traced.casts if setup.half else 0
    share = HELD_BACK_GPU if setup.gpu else HELD_BACK if full else HELD_BACK_ADAPTER
    moments_of_peak = [_pass(setup, traced, largest, gradients=number > 2 or (number == 2 and last >= largest))]
    if number == 2:
        moments_of_peak.append(_pass(setup, traced, last, gradients=True))
    # the end of a backward pass: all gradients are there, and one more of the embedding
    moments_of_peak.append((0, 4 * shape.embedding if full else 0, True))
    activations, logits, has_gradients = max(
        moments_of_peak, key=lambda m: m[0] * (1 + share) + m[1] + gradients * m[2]
    )
    copies = gradients if setup.processes > 1 and not setup.fsdp else 0  # DDP's buckets
    optimizer = (moments + (gradients if has_gradients else 0)) // split + copies
    teacher = sum(_teacher(shape_, setup, largest) for shape_ in setup.teachers)
    base = PROCESS_GPU if setup.gpu else PROCESS_CPU
    held = int(share * activations)
    kept = weights // split + adapter
    memory = Memory(kept + gathered, optimizer, activations + casts, teacher, logits, base + held)
    return memory._replace(
        saving=_saving(setup, kept, moments // split, teacher, base),
        writing=_writing(setup, traced.widest, kept + base, moments // split + copies),
    )


def _pass(setup: Setup, traced: Footprint, tokens: float, *, gradients: bool) -> tuple[int, int, bool]:
    """(bytes of activations, bytes of the loss, whether gradients of an earlier pass are there) where a backward pass begins."""
    kept = traced.inputs + traced.layer if setup.checkpointing else traced.kept
    activations = int(tokens * (kept + BACKWARD_TENSORS * traced.widest))
    return activations, _loss(setup, tokens), gradients


def _loss(setup: Setup, tokens: float) -> int:
    """A chunk of logits for the student and each teacher, hidden states with their gradient, the gradient of the output layer."""
    shape = setup.student
    vocabulary = max(shape.vocabulary, 1)
    buffers = 1 + len(setup.teachers)
    budget, more = (ACCELERATOR_BYTES, ACCELERATOR_BUFFERS) if setup.gpu else (CHUNK_BYTES, 0)
    rows = min(tokens * setup.texts.learned, CHUNK_ROWS, budget // ((buffers + more) * vocabulary * 4))
    head = 4 * vocabulary * shape.hidden if setup.rank is None else 0
    return int(rows * vocabulary * 4 * (buffers + more) + 4 * tokens * setup.texts.learned * shape.hidden * 4 + head)


def _gathered(setup: Setup) -> int:
    """FSDP: two layers and the outermost part (embedding, output layer) are whole during a pass."""
    if setup.shards == 1:
        return 0
    shape = setup.student
    layer = (shape.parameters - shape.embedding) // max(shape.layers, 1)
    return 4 * (2 * layer + 2 * shape.embedding)


def _teacher(shape: Shape, setup: Setup, tokens: float) -> int:
    """Weights and what a forward pass without gradients has at once: a few tensors of the widest layer."""
    size = 2 if setup.half else 4
    return weight_bytes(shape, half=setup.half, trained=False) + int(tokens * shape.hidden * size * 12)


def _writing(setup: Setup, widest: float, kept: int, state: int) -> int:
    """While the student writes there are its weights (kept), after the first step the optimizer's state, and the teachers'."""
    found = setup.writing
    if found is None:
        return 0
    size = 4 if setup.rank is None or not setup.half else 2
    rows = found.rows(setup.processes)
    texts = writing_bytes(found, setup.student, rows=rows, size=size, widest=widest)
    teachers = 0
    for shape in setup.teachers:
        teachers += weight_bytes(shape, half=setup.half, trained=False)
        if found.both:
            each = 2 if setup.half else 4
            texts += writing_bytes(found, shape, rows=rows, size=each, widest=4.0 * each * shape.hidden)
    held = int((HELD_BACK_GPU if setup.gpu else HELD_BACK) * texts)
    return kept + (0 if found.first else state) + teachers + texts + held


def _saving(setup: Setup, weights: int, moments: int, teacher: int, base: int) -> int:
    """The end: LoRA is merged into a second copy of the base and compared with a third; a full training is read back once.

    On a GPU 0: what does not fit there is merged in RAM (saving.py).
    """
    if setup.gpu:
        return 0
    copies = 4 * setup.student.parameters * (1 if setup.rank is None else 2)
    return weights + moments + teacher + base + copies


def smaller(setup: Setup, **changes: object) -> Setup:
    """The same training with other settings."""
    return replace(setup, **changes)  # type: ignore[arg-type]
