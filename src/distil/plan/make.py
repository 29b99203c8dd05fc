"""The forecast of a project, put together."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime

from distil.calls.config import TeacherConfig
from distil.calls.fine_tuning.table import choices
from distil.calls.providers.catalog import parse_model
from distil.calls.providers.openai_names import refuses_sampling
from distil.collect.notices import terms_of_all
from distil.config import Config
from distil.fit import Need, training_need, what_fits
from distil.models.shape import Shape, model_shape
from distil.models.sizing import GIB, Machine, this_machine
from distil.plan.data import data_advice, how_many
from distil.plan.forecast import Change, Forecast, Place
from distil.plan.hardware import hours_of, places, unknown_cards
from distil.plan.method import choose_method, split_for_server
from distil.plan.money import Collecting, collecting, months
from distil.progress import dollars
from distil.records import Prompt
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_records
from distil.train.peak import smaller, training_memory

REASONING_TOKENS = 2_000
"""max_tokens below which a reasoning model may think and never answer (its thinking counts)."""
REASONING_NAMES = re.compile(r"reasoner|thinking|-r1\b|^gemini-(2\.5|[3-9])|^grok-[4-9]|magistral|^qwq|gpt-oss")
LONG_HOURS = 24


def make(project: Project, config: Config, machine: Machine | None = None, others: Sequence[Machine] = ()) -> Forecast:
    """The forecast of a project whose prompts have been loaded. `machine` None = this one; others: more rows of the table."""
    machine = machine or this_machine()
    prompts = list(read_records(project.prompts, Prompt))
    costs = collecting(project, config, prompts)
    advice = [costs.problem] if costs.problem else []
    changes = _budget(config, costs)
    method = choose_method(project, config, len(prompts), machine)
    changes += method.changes
    sides = 2 if config.train.method == "dpo" else 1  # both answers, each with the prompt
    tokens = int(len(prompts) * (costs.input_tokens + costs.output_tokens) * config.train.epochs * sides)
    shape = model_shape(project.placed(config.student.model))
    advice += _student_advice(config, shape)
    need = training_need(project, _as_planned(config, changes), machine)
    hours = None if need is None else hours_of(need.setup, tokens, machine)
    if need is not None:
        advice += _memory_advice(need, split_for_server(project, config, method, machine), changes)
    advice += _hours_advice(hours, machine, writes=need is not None and need.setup.writing is not None)
    changes += _reasoning(config)
    target, examples = how_many(project, config, prompts)
    advice += data_advice(prompts, config, costs.usd, target)
    month = months(project, config, costs)
    table: list[Place] = [] if need is None else places(need, tokens, [machine, *others])
    return Forecast(
        method=method.name,
        reasons=method.reasons,
        prompts=len(prompts),
        teacher_calls=len(prompts) * len(config.teachers) * config.collect.samples,
        collect_usd=costs.usd,
        spent_usd=costs.spent,
        tiers=costs.tiers,
        training_tokens=tokens,
        training_hours=hours,
        memory_gib=None if need is None else need.memory.total / GIB,
        memory_parts={} if need is None else {k: v / GIB for k, v in need.memory._asdict().items()},
        student_parameters=None if shape is None else shape.parameters,
        size_source="" if shape is None else shape.source,
        machine=str(machine),
        places=table,
        examples=examples,
        month_before_usd=month.before,
        month_low_usd=month.low,
        month_high_usd=month.high,
        month_after_usd=month.after,
        payback=month.payback,
        advice=[*advice, *(f"{change.why}: {_options(change)}" for change in changes)],
        changes=changes,
        terms=terms_of_all(teacher.model for teacher in config.teachers),
        providers=choices(tokens, None if shape is None else shape.parameters, datetime.now(UTC).date()),
    )


def _options(change: Change) -> str:
    return " ".join(f"--set {setting}" for setting in change.settings)


def _as_planned(config: Config, changes: Sequence[Change]) -> Config:
    """As it would train with the method's settings: a teacher that is cached or served is not in memory."""
    settings = {setting for change in changes for setting in change.settings}
    signal = next((s.partition("=")[2] for s in settings if s.startswith("train.signal=")), config.train.signal)
    way = "logits" if "train.method=logits" in settings else config.train.method
    return config.model_copy(update={"train": config.train.model_copy(update={"signal": signal, "method": way})})


def _budget(config: Config, costs: Collecting) -> list[Change]:
    cap = config.collect.budget_usd
    if costs.usd is None or cap is None or costs.usd <= cap:
        return []
    why = f"Collecting may cost {dollars(costs.usd)}, over the cap of {dollars(cap)}"
    return [Change((f"collect.budget_usd={costs.usd * 1.2:.2g}",), why)]


def _student_advice(config: Config, shape: Shape | None) -> list[str]:
    model = config.student.model
    if shape is None:
        return [
            f"The size of the student {model} is unknown, so training time and memory can't be estimated: its config is not on "
            f"this machine, and its name says no size. `hf download {model} config.json` brings it."
        ]
    if shape.guessed:
        return [
            f"The size of {model} is guessed from its name, and memory with it; `hf download {model} config.json` makes it exact."
        ]
    return []


def _memory_advice(need: Need, free_gpus: int, changes: list[Change]) -> list[str]:
    """What does not fit, with the first settings that do; those join `changes`. Idle GPUs, too."""
    if need.fits:
        changes += _idle_gpus(need, free_gpus)
        return []
    why = f"Training needs about {need.memory.total / GIB:,.1f} GiB a process, and {need.usable / GIB:,.1f} GiB are usable"
    fit = what_fits(need._replace(gpus=free_gpus))
    if fit is None:
        last = "Even QLoRA does not fit" if need.setup.gpu else "Even LoRA with small passes does not fit"
        return [f"{why}. {last}: choose a smaller student or a larger GPU."]
    changes.append(Change(fit.settings, f"{why}. It needs about {fit.bytes / GIB:,.1f} GiB with"))
    return []


def _idle_gpus(need: Need, free_gpus: int) -> list[Change]:
    """One process on each GPU, where every one of them fits: with copies of the weights (DDP), else with a part of them."""
    if need.gpus < 2 or free_gpus < 2 or need.setup.processes > 1 or (need.setup.writing and need.setup.writing.first):
        return []  # dpo runs in one process
    why = f"Training uses 1 of {need.gpus} GPUs: one process on each of {free_gpus} is about {free_gpus} times as fast"
    for fsdp in (False, True) if need.setup.splits else (False,):
        if training_memory(smaller(need.setup, processes=free_gpus, fsdp=fsdp)).total <= need.usable:
            settings = (f"train.processes={free_gpus}", *(("train.fsdp=true",) if fsdp else ()))
            return [Change(settings, why)]
    return []


def _hours_advice(hours: float | None, machine: Machine, *, writes: bool) -> list[str]:
    found = [
        f"The speed of {name} is not known, so hours and dollars are left out." for name in unknown_cards([machine])
    ]
    if hours is not None and writes and machine.gpu_name:
        found.append(
            "The student writes texts in the training's process, whose speed was measured on CPUs alone: on a GPU it may take "
            "several times the hours above. For on_policy train.rollout_server takes it out."
        )
    if hours is not None and hours > LONG_HOURS:
        found.append(f"Training takes about {hours:,.0f} hours on {machine}: rent a GPU, or choose a smaller student.")
    return found


def _reasoning(config: Config) -> list[Change]:
    """A teacher that thinks before it answers may spend all of max_tokens on it, and the empty answer is paid for."""
    return [
        Change(
            (f"teachers.{number}.sampling.max_tokens={2 * REASONING_TOKENS}",),
            f"{teacher.model} thinks before it answers, and its thinking counts: {teacher.sampling.max_tokens:,} tokens may be "
            "gone before the answer begins",
        )
        for number, teacher in enumerate(config.teachers)
        if teacher.sampling.max_tokens < REASONING_TOKENS and thinks(teacher)
    ]


def thinks(teacher: TeacherConfig) -> bool:
    """Whether the teacher reasons before its answer, by its name and the effort that it is asked for."""
    ref, effort = parse_model(teacher.model), teacher.sampling.reasoning_effort
    if effort in ("none", "minimal") or ref.prefix == "recorded":
        return False
    name = ref.name.rpartition("/")[2].lower()
    return effort is not None or refuses_sampling(name, effort) or REASONING_NAMES.search(name) is not None
