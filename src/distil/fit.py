"""Does the configured training fit into a machine's memory, and which settings would make it fit? For plan and doctor.

Returns numbers and settings; the wording is theirs. An estimate from sizes alone: nothing is loaded.
"""

from __future__ import annotations

from typing import NamedTuple

from distil.config import Config
from distil.models.sizing import Machine, Memory, Shape, default_micro_tokens, model_shape, training_memory
from distil.runs.artifacts import Project

USABLE_MEMORY = 0.9
"""Share of a machine's memory that a training may use."""
SMALL_MICRO_BATCH = 1024
"""Tokens of a forward pass in the settings that save memory."""


class Need(NamedTuple):
    """What a training needs and what the machine can give. Bytes."""

    shape: Shape
    """The student's."""
    teacher: Shape | None
    """The teacher's, when it is in memory too."""
    memory: Memory
    usable: float
    half: bool
    """Half precision: on a GPU."""
    cacheable: bool
    """Whether `train.signal: cached` can take the teacher out of memory."""

    @property
    def fits(self) -> bool:
        return self.memory.total <= self.usable


class Fit(NamedTuple):
    """Settings with which a training fits."""

    settings: tuple[str, ...]
    """For --set, such as student.adapter=lora."""
    bytes: int
    """What it then needs."""

    @property
    def options(self) -> str:
        """As typed on the command line."""
        return " ".join(f"--set {setting}" for setting in self.settings)


def training_need(project: Project, config: Config, machine: Machine) -> Need | None:
    """What the configured training needs; None when the student's size is unknown."""
    shape = model_shape(project.placed(config.student.model))
    if shape is None:
        return None
    train = config.train
    online = train.method != "sft" and train.signal == "online"
    teacher = model_shape(project.placed((train.teachers or config.teachers)[0].model)) if online else None
    half = machine.gpu_name is not None
    memory = training_memory(
        shape,
        micro_tokens=train.micro_batch_tokens or default_micro_tokens(gpu=half),
        adapter=config.student.adapter == "lora",
        four_bit=config.student.quantization == "4bit",
        half=half,
        checkpointing=train.gradient_checkpointing,
        teacher=teacher,
    )
    return Need(shape, teacher, memory, machine.memory * USABLE_MEMORY, half, train.method == "logits")


def what_fits(need: Need) -> Fit | None:
    """The first of the article's fixes for out-of-memory that fits: checkpointing, cached signals, LoRA, QLoRA. None = none."""
    saving = ("train.gradient_checkpointing=true", f"train.micro_batch_tokens={SMALL_MICRO_BATCH}")
    attempts: list[tuple[tuple[str, ...], Shape | None]] = [((), need.teacher)]
    cached: tuple[str, ...] = ()
    teacher = need.teacher
    if need.teacher is not None and need.cacheable:
        cached, teacher = ("train.signal=cached",), None
        attempts.append((cached, teacher))
    lora = ("student.adapter=lora", *cached)
    attempts += [(lora, teacher), (("student.quantization=4bit", *lora), teacher)]
    for settings, in_memory in attempts:
        total = training_memory(
            need.shape,
            micro_tokens=SMALL_MICRO_BATCH,
            adapter="student.adapter=lora" in settings,
            four_bit="student.quantization=4bit" in settings,
            half=need.half,
            checkpointing=True,
            teacher=in_memory,
        ).total
        if total <= need.usable:
            return Fit((*settings, *saving), total)
    return None
