"""The table of machines: does each way of training fit, how large a batch, how many hours and dollars."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from distil.fit import USABLE_MEMORY, Need, largest_batch, usable_memory
from distil.models.sizing import GIB, Machine, named_machine, training_seconds
from distil.plan.forecast import Cell, Place
from distil.train.peak import Setup, smaller, training_memory

SHOWN = ("RTX 4090", "A100", "H100", "H200", "B200")
"""Cards of the table, one and eight of each."""
SMALLEST_BATCH = 1024
"""Tokens of a pass below which checkpointing is the better way to save memory."""
FULL, ADAPTER, FORWARD = 6, 4, 2
"""Operations a parameter and token: an adapter's training needs no gradients of the frozen weights."""


def places(need: Need, tokens: int, machines: Sequence[Machine]) -> list[Place]:
    """`machines` first, such as this one; then the named cards. tokens: of the whole training."""
    listed = [named_machine(f"{count}x{name}") for name in SHOWN for count in (1, 8)]
    return [_place(need, tokens, machine) for machine in [*machines, *listed]]


def _place(need: Need, tokens: int, machine: Machine) -> Place:
    gpu = machine.gpu_name is not None
    processes = machine.gpus if gpu else need.setup.processes
    here = smaller(need.setup, gpu=gpu, bfloat16=machine.bfloat16, processes=processes)
    base = smaller(here, fsdp=False, rank=None, four_bit=False, checkpointing=False)
    adapter = smaller(base, rank=need.setup.rank or 16)
    return Place(
        short_name(machine),
        _cell(smaller(base, fsdp=gpu and processes > 1 and base.splits), tokens, machine),
        _cell(adapter, tokens, machine),
        _cell(smaller(adapter, four_bit=True), tokens, machine) if gpu else None,
    )


def short_name(machine: Machine) -> str:
    """For a table."""
    if machine.gpu_name is None:
        return str(machine)
    return f"{machine.gpus} x {machine.gpu_name}, {machine.gpu_memory / GIB:.0f} GiB"


def _cell(setup: Setup, tokens: int, machine: Machine) -> Cell:
    usable = usable_memory(machine, setup.processes)
    plain, saving = setup, smaller(setup, checkpointing=True)
    batch = largest_batch(plain, usable)
    if batch is None or batch < SMALLEST_BATCH:
        larger = largest_batch(saving, usable)
        if larger is not None and larger > (batch or 0):
            plain, batch = saving, larger
    checkpointing = plain is saving
    used = smaller(saving if batch is None else plain, micro_tokens=batch or 256)
    hours = None if batch is None else hours_of(used, tokens, machine)
    price = machine.card.usd_per_hour if machine.card is not None else None
    usd = None if hours is None or price is None else hours * price * machine.gpus
    return Cell(batch is not None, training_memory(used).total / GIB, batch, checkpointing, hours, usd)


def hours_of(setup: Setup, tokens: int, machine: Machine) -> float | None:
    """Of a training on `tokens` tokens, with the test of learning rates before it and the texts that the student writes.

    None: the machine's speed is not known.
    """
    student = setup.student.active or setup.student.parameters
    teacher = sum(teacher.active or teacher.parameters for teacher in setup.teachers)
    processes, tried = setup.processes, setup.tried_share if setup.processes == 1 else 0.0
    operations = (FULL if setup.rank is None else ADAPTER) + 2 * setup.checkpointing
    seconds = training_seconds(
        student,
        int(tokens * (1 + tried)),
        machine,
        processes=processes,
        teacher=teacher,
        operations=operations,
        adapter=setup.rank is not None,
    )
    if seconds is None:
        return None
    if setup.writing is not None:
        writers = student + (teacher if setup.writing.both else 0)
        read = int(tokens * setup.writing.as_read(setup.texts.learned, processes))
        seconds += training_seconds(writers, read, machine, processes=processes, operations=FORWARD) or 0.0
    return seconds / 3600


def room_for_teacher(size: int, machine: Machine) -> int | None:
    """GPUs (a power of two) that hold `size` bytes of a served teacher with its cache; None = all together do not."""
    for count in (1, 2, 4, 8, 16):
        if count <= max(1, machine.gpus) and size * 1.2 / count <= machine.memory * USABLE_MEMORY:
            return count
    return None


def unknown_cards(machines: Iterable[Machine]) -> list[str]:
    """Names of cards whose speed is not known."""
    return [str(machine.gpu_name) for machine in machines if machine.gpu_name and machine.card is None]
