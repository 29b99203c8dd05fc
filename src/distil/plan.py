"""`distil plan`: API or logits? How much data, dollars, hours and memory, and when does it pay back?

Estimates from the prompts, the price table, the sizes of the models and this machine; nothing is sent, loaded or trained. The
advice follows the article: API-based for commercial teachers and fewer than 10,000 examples, logit-based where both models are
open and the teacher can run here.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from distil import callable_as_job
from distil.calls.config import TeacherConfig
from distil.calls.fine_tuning.table import Choice, choices
from distil.calls.ledger.store import Ledger
from distil.calls.prices import price_of
from distil.calls.providers.catalog import parse_model
from distil.collect.forecast import forecasts
from distil.collect.ledger_view import LedgerView
from distil.collect.notices import terms_of_all
from distil.collect.questions import plan_questions, tier_of
from distil.config import Config
from distil.cost.arithmetic import describe_payback, payback_days, tokens_month
from distil.cost.student import student_month
from distil.errors import DistilError
from distil.fit import USABLE_MEMORY, training_need, what_fits
from distil.models.sizing import GIB, Machine, model_shape, this_machine, training_seconds
from distil.progress import dollars
from distil.records import Prompt
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_records

callable_as_job(__name__)
BYTES_PER_TOKEN = 4.0  # of English text with current tokenizers; measured in the ledger after the first replies
ANSWER_SHARE = 0.5  # of max_tokens that an answer takes on average, before anything is known
MIN_EXAMPLES, ADVISED_EXAMPLES = 1_000, 10_000  # the article's range of examples


class Forecast(NamedTuple):
    """The result of `distil plan`."""

    method: str
    """api | logits."""
    reasons: list[str]
    """Why."""
    prompts: int
    teacher_calls: int
    collect_usd: float | None
    """Total, including what is already spent. None = the price is unknown."""
    spent_usd: float
    """What was spent on collecting so far."""
    training_tokens: int
    training_hours: float | None
    """None = the student's size is unknown."""
    memory_gib: float | None
    machine: str
    month_before_usd: float | None
    month_after_usd: float | None
    payback: str
    advice: list[str]
    """What will not fit or is missing, and what to set."""
    terms: list[str]
    """One line per vendor on training on its outputs."""
    providers: list[Choice]
    """Who else could train the student: `distil train --provider`."""


def make(project: Project, config: Config, machine: Machine | None = None) -> Forecast:
    """The forecast of a project whose prompts have been loaded. `machine` None = this one."""
    machine = machine or this_machine()
    prompts = list(read_records(project.prompts, Prompt))
    advice: list[str] = []
    usd, spent, tokens_in, tokens_out = _collecting(project, config, prompts, advice)
    method, reasons = choose_method(config.teachers[0], len(prompts), machine, project.root)
    calls = len(prompts) * len(config.teachers) * config.collect.samples
    tokens = int(len(prompts) * (tokens_in + tokens_out) * config.train.epochs)
    shape = model_shape(project.placed(config.student.model))
    hours, memory = _training(project, config, tokens, machine, advice)
    _judge_data(len(prompts), config, usd, advice)
    before, after = _months(config, tokens_in, tokens_out)
    saving = None if before is None or after is None or usd is None else before - after
    return Forecast(
        method=method,
        reasons=reasons,
        prompts=len(prompts),
        teacher_calls=calls,
        collect_usd=usd,
        spent_usd=spent,
        training_tokens=tokens,
        training_hours=hours,
        memory_gib=memory,
        machine=_describe(machine),
        month_before_usd=before,
        month_after_usd=after,
        payback="unknown" if saving is None else describe_payback(payback_days(usd or 0.0, saving)),
        advice=advice,
        terms=terms_of_all(teacher.model for teacher in config.teachers),
        providers=choices(tokens, shape.parameters if shape is not None else None, datetime.now(UTC).date()),
    )


def choose_method(
    teacher: TeacherConfig, prompts: int, machine: Machine, root: Path | None = None
) -> tuple[str, list[str]]:
    """api or logits, with the reasons (the article's section "Choosing Between API-Based and Logit-Based Distillation")."""
    ref = parse_model(teacher.model)
    if ref.prefix not in ("local", "bundled"):
        where = "a file of answers" if ref.prefix == "recorded" else "behind an API"
        reasons = [f"{teacher.model} is {where}: its answers are available, its full distributions are not"]
        if ref.prefix != "recorded" and prompts < ADVISED_EXAMPLES:
            reasons.append(
                f"{prompts:,} prompts are few enough to pay for (the article's limit is {ADVISED_EXAMPLES:,})"
            )
        return "api", reasons
    shape = model_shape(Project(root).placed(teacher.model) if root is not None else teacher.model)
    if shape is None:
        return "api", [f"the size of {teacher.model} is unknown, so it may not fit here; its answers always do"]
    size = shape.parameters * 2
    if size > machine.memory * USABLE_MEMORY:
        need = f"{size / GIB:.1f} GiB"
        return "api", [
            f"{teacher.model} needs {need} and this machine has {machine.memory / GIB:.1f}: serve it elsewhere, as an API"
        ]
    return "logits", [
        f"{teacher.model} is open and fits here ({size / GIB:.2g} GiB): match its full distribution, not only its answers",
        "`--set train.method=logits` does this without a paid call; `distil signals build` can cache it",
    ]


def _tokens(prompt: Prompt) -> float:
    return sum(len(m.text.encode()) for m in prompt.messages) / BYTES_PER_TOKEN + 4 * len(prompt.messages)


def _collecting(
    project: Project, config: Config, prompts: list[Prompt], advice: list[str]
) -> tuple[float | None, float, float, float]:
    """(total dollars, dollars spent, tokens of a request, tokens of an answer), measured if the ledger has answers."""
    section, teachers = config.collect, config.teachers
    guess = sum(_tokens(p) for p in prompts) / max(1, len(prompts)), teachers[0].sampling.max_tokens * ANSWER_SHARE
    tiers = [tier_of(teacher, section.service) for teacher in teachers]
    with Ledger(project.ledger) as ledger:
        spent = ledger.spent("collect")
        try:
            for teacher, tier in zip(teachers, tiers, strict=True):
                price_of(teacher.model, teacher.price, tier)
        except DistilError as error:
            advice.append(str(error).strip())
            return None, spent, *guess
        view = LedgerView(ledger, teachers, project.root)
        estimates = forecasts(teachers, tiers, lambda: plan_questions(project, teachers, section.samples), view)
    usd = spent + sum(estimate.usd for estimate in estimates)
    if section.budget_usd is not None and usd > section.budget_usd:
        advice.append(
            f"Collecting may cost {dollars(usd)}, over the cap of {dollars(section.budget_usd)}: "
            f"--set collect.budget_usd={usd * 1.2:.2g}"
        )
    return usd, spent, estimates[0].mean_input, estimates[0].mean_output


def _training(
    project: Project, config: Config, tokens: int, machine: Machine, advice: list[str]
) -> tuple[float | None, float | None]:
    """(hours, GiB); None and advice where the student's size is unknown."""
    need = training_need(project, config, machine)
    if need is None:
        advice.append(
            f"The size of the student {config.student.model} is unknown, so training time and memory can't be estimated."
        )
        return None, None
    if not need.fits:
        fit = what_fits(need)
        solution = (
            f"With {fit.options} it needs about {fit.bytes / GIB:.1f} GiB."
            if fit
            else "Even QLoRA does not fit: choose a smaller student or a larger GPU."
        )
        advice.append(
            f"Training needs about {need.memory.total / GIB:.1f} GiB, but only {need.usable / GIB:.1f} GiB are usable. {solution}"
        )
    hours = training_seconds(need.shape, tokens, machine, teacher=need.teacher) / 3600
    if hours > 24:
        advice.append(
            f"Training takes about {hours:,.0f} hours on {_describe(machine)}: rent a GPU, or choose a smaller student."
        )
    return hours, need.memory.total / GIB


def _judge_data(prompts: int, config: Config, usd: float | None, advice: list[str]) -> None:
    usable = prompts - config.curate.test
    if usable < MIN_EXAMPLES:
        price = (
            f" At this price, {MIN_EXAMPLES:,} cost about {dollars(usd / prompts * MIN_EXAMPLES)}."
            if usd and prompts
            else ""
        )
        advice.append(
            f"{prompts:,} prompts, of which {config.curate.test} are held out: the article advises {MIN_EXAMPLES:,} to "
            f"{ADVISED_EXAMPLES:,} examples.{price} `distil prompts expand --count {max(MIN_EXAMPLES - usable, 100)}` writes "
            "more like them."
        )


def _months(config: Config, tokens_in: float, tokens_out: float) -> tuple[float | None, float | None]:
    cost = config.cost
    inputs = tokens_in if cost.input_tokens is None else cost.input_tokens
    outputs = tokens_out if cost.output_tokens is None else cost.output_tokens
    try:
        price = price_of(config.teachers[0].model, config.teachers[0].price, "standard")
    except DistilError:
        return None, None
    before = tokens_month(cost.queries_per_month, inputs, outputs, price.input, price.output)
    host = cost.student_host
    return before, student_month(host, cost.queries_per_month, inputs, outputs) if host else None


def _describe(machine: Machine) -> str:
    if machine.gpu_name:
        return f"{machine.gpus} x {machine.gpu_name} ({machine.gpu_memory / GIB:.0f} GiB)"
    return f"{machine.cores} CPU cores, {machine.ram / GIB:.0f} GiB"
