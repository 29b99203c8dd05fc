"""Every request at its own price: cache, long prompts, reasoning, hours and dates, and what is not production."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from distil.calls.config import Price, TeacherConfig
from distil.calls.ledger.store import Ledger, Recorded
from distil.calls.prices import price_changes, price_of, quotes_of_day
from distil.cost.config import CostConfig, StudentHost, TeacherHost
from distil.cost.stage import run
from distil.errors import UserError
from distil.records import Usage
from distil.runs.artifacts import Project
from distil.runs.schemas.cost import CostSummary

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


def bill(
    folder: Path,
    teacher: TeacherConfig,
    usages: Sequence[Usage],
    section: CostConfig | None = None,
    purpose: str = "import",
) -> CostSummary:
    write(folder, teacher.model, usages, purpose)
    return run(Project(folder), section or CostConfig(), [teacher])


def write(folder: Path, model: str, usages: Sequence[Usage], purpose: str = "import") -> None:
    with Ledger(Project(folder).ledger) as ledger:
        ledger.record(
            [Recorded(f"{purpose}-{i}", purpose, model, b"{}", b"{}", usage, usd=0.0) for i, usage in enumerate(usages)]
        )


def test_cached_tokens_have_their_own_price(tmp_path: Path) -> None:
    teacher = TeacherConfig(model="openai/x", price=Price(input=10, output=100, cached_input=1))
    summary = bill(tmp_path, teacher, [Usage(input_tokens=100, cached_tokens=80, output_tokens=10)] * 60)
    assert summary.teacher_month_usd == pytest.approx(1280)


def test_long_prompts_are_priced_in_their_band(tmp_path: Path) -> None:
    usages = [Usage(input_tokens=500_000, output_tokens=1_000)] * 50
    summary = bill(tmp_path, TeacherConfig(model="google/gemini-2.5-pro"), usages, CostConfig(queries_per_month=1_000))
    assert summary.teacher_month_usd == pytest.approx(1_265)


def test_reasoning_is_the_teachers_and_not_the_students(tmp_path: Path) -> None:
    teacher = TeacherConfig(model="openai/gpt-5-mini", price=Price(input=0.25, output=2))
    usages = [Usage(input_tokens=100, output_tokens=1_010, reasoning_tokens=1_000)] * 60
    summary = bill(tmp_path, teacher, usages, CostConfig(student_host=StudentHost(input=1, output=2)))
    assert (summary.options[1].student_usd, summary.options[1].saving_usd) == (pytest.approx(120), pytest.approx(1_925))


def test_what_only_distillation_asks_is_not_traffic(tmp_path: Path) -> None:
    teacher = TeacherConfig(model="openai/x", price=Price(input=10, output=100))
    write(tmp_path, teacher.model, [Usage(input_tokens=4_000, output_tokens=3_000)] * 25, "expand")
    write(tmp_path, teacher.model, [Usage(input_tokens=2_000, output_tokens=500)] * 9, "judge")
    summary = bill(tmp_path, teacher, [Usage(input_tokens=100, output_tokens=10)] * 60)
    assert summary.teacher_month_usd == pytest.approx(2_000) and summary.traffic.measured_calls == 60


def test_the_interval_is_of_dollars(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    outs = np.where(rng.random(200) < 0.9, 20, 2_000)
    usages = [Usage(input_tokens=4_000, output_tokens=int(out)) for out in outs]
    summary = bill(tmp_path, TeacherConfig(model="openai/x", price=Price(input=2.5, output=10)), usages)
    usd = 4_000 * 2.5 + outs * 10
    half = 1.96 * usd.std(ddof=1) / np.sqrt(200)
    assert summary.teacher_month_usd == pytest.approx(usd.mean())
    assert summary.teacher_month_error_usd == pytest.approx(half, rel=0.1)
    assert summary.teacher_month_low_usd and summary.teacher_month_low_usd < usd.mean()


@pytest.mark.parametrize("count", [200, 3_000])
def test_intervals_of_a_saving_hold_as_often_as_they_say(count: int) -> None:
    """Both ways to draw means again, for skewed requests: about 95% of the intervals hold the true mean."""
    from distil.cost.sampling import draws_of_means, interval

    rng, hits = np.random.default_rng(1), 0
    for run_ in range(100):
        sample = rng.lognormal(0.0, 1.0, count)
        low, high = interval(draws_of_means([sample.tolist()], seed=run_), lambda mean: mean) or (0.0, 0.0)
        hits += low <= np.exp(0.5) <= high
    assert 88 <= hits <= 100


def test_logs_without_usage_are_asked_about_and_never_free(tmp_path: Path) -> None:
    teacher = TeacherConfig(model="openai/x", price=Price(input=2.5, output=10))
    write(tmp_path, teacher.model, [Usage()] * 40)
    with pytest.raises(UserError, match="None of the 40 answered calls of the teacher carries token counts"):
        run(Project(tmp_path), CostConfig(), [teacher])
    write(tmp_path, teacher.model, [Usage(input_tokens=1_000, output_tokens=100)] * 40, "collect")
    summary = run(Project(tmp_path), CostConfig(), [teacher])
    assert summary.teacher_month_usd == pytest.approx(3_500)
    assert summary.traffic.unknown_calls == 40 and "40 of 80" in summary.warnings[0]


@pytest.mark.parametrize(("given", "missing"), [("input", "output"), ("output", "input")])
def test_half_a_price_is_refused(tmp_path: Path, given: str, missing: str) -> None:
    section = CostConfig(input_tokens=1, output_tokens=1, student_host=StudentHost(**{given: 1.0}))
    with pytest.raises(UserError, match=f"cost.student_host.{missing}=0.4"):
        run(Project(tmp_path), section, [TeacherConfig(model="openai/x", price=Price(input=1, output=1))])


def test_a_machine_and_a_provider_are_two_ways(tmp_path: Path) -> None:
    host = StudentHost(usd_per_hour=10_000, tokens_per_second=1_000, input=0.1, output=0.4)
    section = CostConfig(input_tokens=1_000, output_tokens=100, student_host=host)
    summary = run(Project(tmp_path), section, [TeacherConfig(model="openai/x", price=Price(input=1, output=1))])
    alone = {o.host: o.student_usd for o in summary.options if o.name.endswith("alone")}
    assert alone == {"provider": pytest.approx(140), "own machine": pytest.approx(7_300_000)}


@pytest.mark.parametrize("model", ["recorded/gpt4.jsonl", "local/some/model", "bundled/teacher"])
def test_a_teacher_without_a_price_is_asked_about(tmp_path: Path, model: str) -> None:
    section = CostConfig(input_tokens=1_000, output_tokens=100, student_host=StudentHost(input=0.1, output=0.4))
    summary = run(Project(tmp_path), section, [TeacherConfig(model=model)])
    assert summary.teacher_month_usd is None and all(o.saving_usd is None for o in summary.options)
    assert any("cost.teacher_host.usd_per_hour" in warning for warning in summary.warnings)
    owned = section.model_copy(update={"teacher_host": TeacherHost(usd_per_hour=4, machines=2)})
    priced = run(Project(tmp_path), owned, [TeacherConfig(model=model)])
    assert priced.teacher_month_usd == pytest.approx(4 * 2 * 730)
    assert priced.options[2].teacher_usd == pytest.approx(4 * 730)  # 30% of two machines is still one


def test_a_price_that_changes_is_known_beforehand() -> None:
    model = "google/gemini-4-argon"
    assert [day.date().isoformat() for day in price_changes(model, None, NOW, 365)] == ["2026-12-01"]
    assert price_of(model, at=NOW).input == 2 and price_of(model, at=datetime(2026, 12, 1, tzinfo=UTC)).input == 4
    assert price_changes(model, Price(input=1, output=1), NOW, 365) == []
    for local in ("recorded/a.jsonl", "bundled/teacher", "local/x", "http://127.0.0.1:1/v1#x", "ollama/x"):
        assert price_changes(local, None, NOW, 365) == price_changes(local, Price(input=1, output=1), NOW, 365) == []


def test_a_month_can_be_named(tmp_path: Path) -> None:
    usages = [Usage(input_tokens=1_000, output_tokens=200)] * 9
    teacher = TeacherConfig(model="google/gemini-4-argon")
    before = bill(tmp_path, teacher, usages, CostConfig(month="2026-11"))
    assert before.teacher_month_usd == pytest.approx(4_000)
    (change,) = before.price_changes
    assert (change.date, change.teacher_month_usd) == ("2026-12-01", pytest.approx(8_000))
    after = run(Project(tmp_path), CostConfig(month="2026-12"), [teacher])
    assert after.teacher_month_usd == pytest.approx(8_000) and not after.price_changes


def test_a_price_that_depends_on_the_hour_is_a_range(tmp_path: Path) -> None:
    quotes = quotes_of_day("deepseek/deepseek-chat", None, NOW)
    assert sorted((round(share, 3), quote.input) for share, quote in quotes) == [(0.333, 0.135), (0.667, 0.27)]
    usages = [Usage(input_tokens=1_000, output_tokens=200)] * 9
    summary = bill(tmp_path, TeacherConfig(model="deepseek/deepseek-chat"), usages, CostConfig(month="2026-11"))
    assert summary.cheapest_hour_usd == pytest.approx(245) and summary.dearest_hour_usd == pytest.approx(490)
    assert summary.teacher_month_usd == pytest.approx((245 + 2 * 490) / 3)
