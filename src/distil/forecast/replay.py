"""`distil forecast LOGS`: a bill replayed. Which kinds of requests there are, which a student could take over, what that saves.

Reads the log once; nothing is sent, written or downloaded. docs/forecast.md has the method and its own record.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np

from distil.calls.config import Price, TeacherConfig
from distil.cost.config import CostConfig
from distil.curate.split.meaning import installed as can_embed
from distil.forecast.advice import Judged, between, judge, to_collect
from distil.forecast.features import prepare
from distil.forecast.measure import LEAST_ROWS, SliceMeasure, measure
from distil.forecast.money import ESTIMATED, TakenOver, save, spread, told, total
from distil.forecast.prices import PriceList
from distil.forecast.quality import Draws
from distil.forecast.result import Between, ModelBill, Replay, SliceForecast
from distil.forecast.slices import Slice, find_slices
from distil.forecast.traffic import ModelTotals, Reading, Request, Traffic, read_traffic
from distil.progress import bar

STEPS = 5
"""Parts of the work on a slice, for the progress bar."""
UNKNOWN = ("likely", "cannot tell")
WORTH_TRYING = ("yes", "partly", "likely")
LEAST_REPEATED = 0.05
"""Share of repeated requests that is worth a word."""


class Options(NamedTuple):
    """What a forecast depends on besides the log."""

    section: CostConfig
    teachers: Sequence[TeacherConfig] = ()
    """Of the project, for their prices."""
    prices: Mapping[str, Price] = {}
    """The user's own, by the model's name in the log."""
    rows: int = 3_000
    """Requests whose texts are looked at."""
    model: str = ""
    """The model of requests that name none."""
    queries: int | None = None
    """Requests a month; None: as the log says."""
    risk: float = 0.05
    """Share of the student's answers that may differ from the teacher's."""


class _Done(NamedTuple):
    """A slice with what was found."""

    piece: Slice
    requests: list[Request]
    found: SliceMeasure
    judged: Judged


def forecast(paths: Sequence[Path], options: Options) -> Replay:
    """The forecast. Raises UserError: no file, an unknown format, a broken line, no answers."""
    day = datetime.now(UTC)
    if options.section.month is not None:
        day = datetime.strptime(options.section.month, "%Y-%m").replace(tzinfo=UTC)
    prices = PriceList(options.prices, options.teachers, day)
    traffic = read_traffic(paths, prices, Reading(options.rows, options.model))
    pieces, target = find_slices(traffic.sample), 1 - options.risk
    done = []
    if can_embed():
        prepare([traffic.sample[row] for piece in pieces if len(piece.rows) >= LEAST_ROWS for row in piece.rows])
    with bar("Measuring kinds of requests", len(pieces) * STEPS, "steps") as running:
        for number, piece in enumerate(pieces, start=1):
            requests = [traffic.sample[row] for row in piece.rows]
            found = measure(requests, target, running.advance)
            running.update(number * STEPS)
            done.append(_Done(piece, requests, found, judge(found, len(requests), target)))
    return _replay(paths, options, traffic, done, target)


def _replay(paths: Sequence[Path], options: Options, traffic: Traffic, done: Sequence[_Done], target: float) -> Replay:
    count = len(traffic.sample)
    tried = [one for one in done if one.judged.tried]
    taken = total([_taken(one) for one in tried], [len(one.requests) / count for one in tried])
    collect = [to_collect(one.found, one.judged, _examples(one, traffic)) for one in done]
    collect_usd = sum(
        number * float(np.mean([request.usd or 0.0 for request in one.requests]))
        for one, number in zip(done, collect, strict=True)
    )
    warnings = _warnings(traffic)
    money = save(traffic, options.section, options.queries, taken, collect_usd, warnings)
    slices = [
        _slice(one, traffic, count, money.requests_a_month, number) for one, number in zip(done, collect, strict=True)
    ]
    possible = [one.month_usd for one in slices if one.distillable in UNKNOWN]
    if all(usd is not None for usd in possible):
        money = money.model_copy(update={"possible_usd": sum(usd for usd in possible if usd is not None)})
    slices.sort(key=lambda one: -(one.month_usd if one.month_usd is not None else one.share))
    return Replay(
        logs=[str(path) for path in paths],
        requests=traffic.requests,
        unusable=traffic.unusable,
        unusable_examples=traffic.examples,
        repeated=traffic.repeated / traffic.requests,
        sampled=count,
        days=traffic.span.days(),
        models=[_model(name, totals) for name, totals in sorted(traffic.models.items(), key=lambda m: -m[1].usd)],
        quality_target=target,
        slices=slices,
        answered=spread(taken.share, taken.words_share, taken.ahead_share),
        cannot_tell=sum(one.share for one in slices if one.distillable in UNKNOWN),
        money=money,
        next=_next(paths, traffic, slices),
        assumptions=_assumptions(options, traffic, count, target) | told(options.section, money, taken),
        warnings=warnings,
    )


def _examples(one: _Done, traffic: Traffic) -> int:
    """Answers of a slice that the whole log holds."""
    return round(len(one.requests) / len(traffic.sample) * traffic.requests)


def _taken(one: _Done) -> TakenOver:
    best, words, ahead = one.found.best, one.found.words, one.found.ahead
    assert best is not None and words is not None and ahead is not None
    usages = [request.usage for request in one.requests]
    return TakenOver(
        best.share,
        words.share,
        best.usd,
        words.usd,
        ahead.share,
        ahead.usd,
        1.0,
        float(np.mean([usage.input_tokens for usage in usages])),
        float(np.mean([max(usage.output_tokens - usage.reasoning_tokens, 0) for usage in usages])),
    )


def _model(name: str, totals: ModelTotals) -> ModelBill:
    known, off = not totals.unpriced, ESTIMATED * totals.estimated_usd
    return ModelBill(
        model=name,
        requests=totals.requests,
        estimated_requests=totals.estimated,
        input_tokens=totals.input_tokens,
        output_tokens=totals.output_tokens,
        cached_tokens=totals.cached_tokens,
        usd=totals.usd if known else None,
        low_usd=totals.usd - off if known else None,
        high_usd=totals.usd + off if known else None,
        priced_as=totals.priced_as,
        source=totals.source,
    )


def _slice(one: _Done, traffic: Traffic, count: int, a_month: float, collect: int) -> SliceForecast:
    found, requests = one.found, one.requests
    dollars = [request.usd for request in requests if request.usd is not None]
    share, examples = len(requests) / count, _examples(one, traffic)
    answered, quality = None, None
    if found.best is not None and found.words is not None and found.ahead is not None:
        if found.answers.kind not in ("prose", "code"):
            quality = _quality(found, found.best, found.words, found.ahead)
        if one.judged.tried:
            answered = spread(found.best.share, found.words.share, found.ahead.share)
    agreed = found.agreement
    return SliceForecast(
        name=one.piece.name,
        how=one.piece.how,
        requests=len(requests),
        share=share,
        month_usd=sum(dollars) / len(requests) * share * a_month if len(dollars) == len(requests) else None,
        input_tokens=float(np.mean([request.usage.input_tokens for request in requests])),
        output_tokens=float(np.mean([request.usage.output_tokens for request in requests])),
        answers=found.answers.kind,
        distinct=found.answers.distinct,
        repeated=found.repeated,
        distillable=one.judged.says,
        why=one.judged.why,
        answered=answered,
        quality=quality,
        ceiling=None if agreed is None else between(agreed.share, agreed.low, agreed.high),
        fields=found.fields if "" not in found.fields else {},
        gain=None if not found.curve else between(found.curve[0].gain, found.curve[0].low, found.curve[0].high),
        examples=examples,
        collect=collect,
    )


def _quality(found: SliceMeasure, best: Draws, words: Draws, ahead: Draws) -> Between:
    """Of all answers. Not above what the teacher agrees with itself."""
    value = spread(best.quality, words.quality, ahead.quality)
    most = 1.0 if found.agreement is None else found.agreement.high
    return Between(value=min(value.value, most), low=min(value.low, most), high=min(value.high, most))


def _warnings(traffic: Traffic) -> list[str]:
    said = []
    for name, totals in traffic.models.items():
        if totals.unpriced:
            model = name or "the model of lines that name none"
            give = f"--price {shlex.quote(name)}=INPUT,OUTPUT" if name else "--model openai/gpt-5-mini, say"
            said.append(
                f"What {model} costs is unknown ({totals.unpriced:,} requests), so no month is named. Add {give}."
            )
    estimated = sum(totals.estimated for totals in traffic.models.values())
    if estimated:
        said.append(
            f"{estimated:,} of {traffic.requests:,} requests carry no token counts: they are estimated from the texts "
            f"(within {ESTIMATED:.0%}); what a model thought and did not say is not in them."
        )
    if traffic.unusable:
        said.append(f"{traffic.unusable:,} lines hold no answer and are left out ({'; '.join(traffic.examples)}).")
    if traffic.repeated >= LEAST_REPEATED * traffic.requests:
        share = traffic.repeated / traffic.requests
        said.append(
            f"{share:.0%} of the requests repeat an earlier one word for word: a cache answers them without a model."
        )
    if len(traffic.models) > 1:
        said.append(
            "Several models answered: a student learns from one, so where they differ the quality is understated."
        )
    return said


def _assumptions(options: Options, traffic: Traffic, count: int, target: float) -> dict[str, str]:
    whole = "all of them" if count == traffic.requests else f"a random sample of {count:,} (--rows); the bill is of all"
    meaning = "and by meaning (MiniLM)" if can_embed() else (
        "alone: MiniLM is not installed (pip install 'distil[evaluate]'), so quality is understated"
    )  # fmt: skip
    return {
        "prices of": "today, list prices" if options.section.month is None else options.section.month,
        "texts looked at": f"{traffic.requests:,} requests, {whole}",
        "quality": f"answers as the teacher's, for {target:.0%} of what the student answers (serve.risk)",
        "the student": (
            f"is as good as a predictor that compares prompts by words {meaning}. The low end is by words alone, the high end "
            "with four times the examples, by the learning curve. One that is not pretrained can be far worse, a large one better"
        ),
    }


def _next(paths: Sequence[Path], traffic: Traffic, slices: Sequence[SliceForecast]) -> list[str]:
    chosen = [one for one in slices if one.distillable in WORTH_TRYING]
    if not chosen:
        return []
    totals = max(traffic.models.values(), key=lambda model: model.requests)
    teacher = totals.priced_as if "/" in totals.priced_as else "PROVIDER/MODEL"
    logs = " ".join(f"--from-log {shlex.quote(str(path.resolve()))}" for path in paths)
    several = " --any-model" if len(traffic.models) > 1 else ""
    first = shlex.quote(str(paths[0].resolve()))
    return [
        f"distil init mytask --teacher {shlex.quote(teacher)} --student Qwen/Qwen3-0.6B --prompts {first}",
        f"distil collect --project mytask {logs}{several}",
    ]
