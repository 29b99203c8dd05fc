"""Does the configured training fit into a machine's memory, which settings would make it fit, and the largest batch that does.

For plan and doctor. Returns numbers and settings; the wording is theirs. The formula is in distil/train/peak.py; here the config
and the project's texts become its terms. Nothing is loaded.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import NamedTuple

from distil.config import Config
from distil.models.shape import Shape, model_folder, model_shape
from distil.models.sizing import Machine, Memory, default_micro_tokens
from distil.records import Message, Prompt
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_examples, read_records
from distil.train.config import BY_TEXT
from distil.train.peak import Setup, Texts, smaller, training_memory
from distil.train.rate import affordable, untestable
from distil.train.writing import writing_of

USABLE_MEMORY = 0.9
"""Share of a machine's memory that a training may use."""
SMALL_MICRO_BATCH = 1024
"""Tokens of a forward pass in the settings that save memory."""
SAMPLED_TEXTS = 500
MOST_ANSWER = 1000
"""Tokens of max_tokens beyond which it is room for thinking, not for an answer."""
BYTES_PER_TOKEN = 4.0
"""Of English text with current tokenizers, where the student's is not at hand."""


class Need(NamedTuple):
    """What a training needs and what the machine can give. Bytes, of one process."""

    memory: Memory
    usable: float
    cacheable: bool
    """Whether `train.signal: cached` can take the teacher out of memory."""
    setup: Setup
    gpus: int
    """Cards of the machine."""

    @property
    def fits(self) -> bool:
        return self.memory.total <= self.usable


class Fit(NamedTuple):
    """Settings with which a training fits."""

    settings: tuple[str, ...]
    """For --set, such as student.adapter=lora."""
    bytes: int
    """What one process then needs."""

    @property
    def options(self) -> str:
        """As typed on the command line."""
        return " ".join(f"--set {setting}" for setting in self.settings)


def training_need(project: Project, config: Config, machine: Machine) -> Need | None:
    """What the configured training needs; None when the size of the student, or of a teacher beside it, is unknown."""
    shape = model_shape(project.placed(config.student.model))
    teachers = teacher_shapes(project, config)
    if shape is None or None in teachers:
        return None
    train, student = config.train, config.student
    gpu, texts = machine.gpu_name is not None, texts_of(project, config)
    tried, of_all = _tried(project, config)
    setup = Setup(
        student=shape,
        gpu=gpu,
        bfloat16=machine.bfloat16,
        micro_tokens=train.micro_batch_tokens or default_micro_tokens(gpu=gpu),
        batch_size=train.batch_size,
        texts=in_pairs(texts) if train.method == "dpo" else texts,
        rank=student.lora_rank if student.adapter == "lora" else None,
        four_bit=student.quantization == "4bit",
        checkpointing=train.gradient_checkpointing,
        packing=train.packing,
        processes=train.processes,
        fsdp=train.fsdp and train.processes > 1,
        teachers=tuple(found for found in teachers if found is not None),
        writing=writing_of(train, prompt=texts.prompt, answer=texts.answer, count=texts.count),
        tried=tried,
        tried_share=of_all,
    )
    memory = training_memory(setup)
    usable = usable_memory(machine, train.processes)
    return Need(memory, usable, train.method == "logits", setup, machine.gpus)


def _tried(project: Project, config: Config) -> tuple[int, float]:
    """(examples that a test of learning rates reads, their share of the whole training), as range_test.find_rate has it."""
    train = config.train
    student = config.student.model_copy(update={"model": project.placed(config.student.model)})
    if train.learning_rate != "auto" or untestable(train, student) is not None:
        return 0, 0.0
    if project.split("train").exists():
        with project.split("train").open("rb") as file:
            count = sum(1 for _ in file)
    elif project.prompts.exists():
        prompts = sum(1 for _ in read_records(project.prompts, Prompt))
        count = int(max(0, prompts - config.curate.test) * (1 - config.curate.validation))
    else:
        return 0, 0.0
    found = affordable(count, train)
    return found, found / max(1.0, count * train.epochs)


def usable_memory(machine: Machine, processes: int) -> float:
    """Bytes for one process: a GPU each, or a share of the RAM."""
    return machine.memory * USABLE_MEMORY / (1 if machine.gpu_name else processes)


def teacher_shapes(project: Project, config: Config) -> list[Shape | None]:
    """Of the teachers in the memory of the training: none for sft, dpo and for cached or served distributions."""
    train = config.train
    if train.method in BY_TEXT or train.signal != "online":
        return []
    names = [share.model for share in train.teachers] or [config.teachers[0].model]
    return [model_shape(project.placed(name)) for name in names]


def texts_of(project: Project, config: Config) -> Texts:
    """Lengths of the training texts: of the curated examples, else of the prompts and an answer of half its maximum length."""
    answers = min(config.teachers[0].sampling.max_tokens, MOST_ANSWER) / 2
    lengths: list[tuple[float, float]] = []  # (tokens of the prompt, of the answer)
    per_token = _bytes_per_token(project, config)
    if project.split("train").exists():
        for example in islice(read_examples(project.split("train")), SAMPLED_TEXTS):
            size = text_bytes(example.messages) / per_token
            answer = text_bytes([m for m in example.messages if m.role == "assistant"]) / per_token
            lengths.append((size - answer, answer))
    elif project.prompts.exists():
        for prompt in islice(read_records(project.prompts, Prompt), SAMPLED_TEXTS):
            lengths.append((text_bytes(prompt.messages) / per_token, answers))
    if not lengths:
        return Texts()
    totals = [before + after for before, after in lengths]
    count = len(totals) if len(totals) < SAMPLED_TEXTS else None
    learned = sum(after for _, after in lengths) / max(1.0, sum(totals))
    asked, said = (int(max(side)) + 1 for side in zip(*lengths, strict=True))
    return Texts(sum(totals) / len(totals), int(max(totals)) + 1, learned, count, asked, said)


def in_pairs(texts: Texts) -> Texts:
    """dpo: both answers to a prompt share a pass, and each brings the prompt."""
    return replace(texts, tokens=2 * texts.tokens, longest=2 * texts.longest)


def text_bytes(messages: Sequence[Message]) -> float:
    """Bytes, with four tokens for the template of each message."""
    return sum(len(message.text.encode()) + 4 * BYTES_PER_TOKEN for message in messages)


def _bytes_per_token(project: Project, config: Config) -> float:
    """Of the project's texts with the student's own tokenizer, where its file is here."""
    file = model_folder(project.placed(config.student.model)) / "tokenizer.json"
    source = project.split("train")
    if not file.is_file() or not source.exists():
        return BYTES_PER_TOKEN
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(file))
    texts = [m.text for example in islice(read_examples(source), 50) for m in example.messages]
    tokens = sum(len(encoding.ids) for encoding in tokenizer.encode_batch(texts, add_special_tokens=False))
    return sum(len(text.encode()) for text in texts) / max(1, tokens)


def what_fits(need: Need) -> Fit | None:
    """The first of the article's fixes for out-of-memory that fits. None = none does.

    Smaller passes and checkpointing; cached signals; the weights split over all GPUs; LoRA; 4 bits (on a GPU).
    """
    for settings, setup in _attempts(need):
        total = training_memory(setup).total
        if total <= need.usable:
            return Fit(settings, total)
    return None


def _attempts(need: Need) -> Iterator[tuple[tuple[str, ...], Setup]]:
    base = need.setup
    tokens = min(SMALL_MICRO_BATCH, base.micro_tokens)
    saving = ("train.gradient_checkpointing=true", f"train.micro_batch_tokens={tokens}")
    changed = smaller(base, micro_tokens=tokens, checkpointing=True)
    cached = need.cacheable and bool(base.teachers)
    without = smaller(changed, teachers=())
    signal = ("train.signal=cached",) if cached else ()
    if base.rank is None:  # with LoRA the kept inputs of its layers cost most, so that smaller passes come first, too
        yield (f"train.micro_batch_tokens={tokens}",), smaller(base, micro_tokens=tokens)
    yield saving, changed
    if cached:
        yield (*signal, *saving), without
    best = without if cached else changed
    if base.gpu and need.gpus > 1 and base.processes == 1 and base.rank is None and base.splits:
        split = ("train.fsdp=true", f"train.processes={need.gpus}")
        yield (*split, *signal, *saving), smaller(best, processes=need.gpus, fsdp=True)
    lora = smaller(best, rank=base.rank or 16)
    yield ("student.adapter=lora", *signal, *saving), lora
    if base.gpu:
        yield ("student.quantization=4bit", "student.adapter=lora", *signal, *saving), smaller(lora, four_bit=True)


def largest_batch(setup: Setup, usable: float) -> int | None:
    """Tokens of the largest forward pass that fits, up to 65,536 (a power of two times 1,024, from 256); None = none does."""
    for tokens in (65_536, 32_768, 16_384, 8_192, 4_096, 2_048, 1_024, 512, 256):
        full = smaller(setup, micro_tokens=tokens, batch_size=10**6)
        if training_memory(full).total <= usable:
            return tokens
    return None
