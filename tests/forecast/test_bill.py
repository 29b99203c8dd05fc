"""The bill of a log: every model at its own price, cached tokens, unknown tokens and prices, and how many make a month."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from distil.calls.config import Price, TeacherConfig
from distil.cost.config import CostConfig
from distil.errors import UserError
from distil.forecast.options import options_of
from distil.forecast.prices import read_price
from distil.forecast.replay import Options, forecast
from distil.forecast.result import Replay
from tests.forecast.logs import line, triage, usage, write

DEFAULTS = Options(CostConfig())


def replay(tmp_path: Path, lines: list[dict[str, object]], options: Options = DEFAULTS) -> Replay:
    return forecast([write(tmp_path / "log.jsonl", lines)], options)


def test_each_model_has_its_own_price(tmp_path: Path) -> None:
    lines = [line(f"a{i}", "refund", usage=usage(1_000, 100)) for i in range(3)]
    lines += [line(f"b{i}", "refund", model="gpt-4o-mini-2024-07-18", usage=usage(1_000, 100)) for i in range(2)]
    found = {model.model: model for model in replay(tmp_path, lines).models}
    # gpt-4o 2.50 / 10, gpt-4o-mini 0.15 / 0.60 $ per million tokens (openai.com/api/pricing)
    assert found["gpt-4o"].usd == pytest.approx(3 * (1_000 * 2.5 + 100 * 10) / 1e6)
    assert found["gpt-4o-mini-2024-07-18"].usd == pytest.approx(2 * (1_000 * 0.15 + 100 * 0.6) / 1e6)
    assert found["gpt-4o"].priced_as == "openai/gpt-4o"


def test_cached_tokens_have_their_price(tmp_path: Path) -> None:
    bill = replay(tmp_path, [line("a", "refund", usage=usage(1_000, 0, cached=800))]).models[0]
    assert (bill.cached_tokens, bill.usd) == (800, pytest.approx((200 * 2.5 + 800 * 1.25) / 1e6))


def test_unknown_tokens_are_estimated_and_said(tmp_path: Path) -> None:
    lines = [
        line("Where is my parcel? It was due on Monday.", "delivery", usage=usage() if i else None) for i in range(4)
    ]
    found = replay(tmp_path, lines)
    bill = found.models[0]
    assert bill.estimated_requests == 1
    assert bill.usd is not None and bill.low_usd is not None and bill.high_usd is not None
    assert 0 < bill.low_usd < bill.usd < bill.high_usd
    assert any("1 of 4 requests carry no token counts" in warning for warning in found.warnings)


def test_an_unknown_price_is_asked_for_and_never_0(tmp_path: Path) -> None:
    lines = [line("a", "refund", model="house-model", usage=usage(1_000, 100))]
    found = replay(tmp_path, lines)
    assert found.models[0].usd is None and found.money.teacher_usd is None and found.slices[0].month_usd is None
    assert any("--price house-model=INPUT,OUTPUT" in warning for warning in found.warnings)
    given = replay(tmp_path, lines, DEFAULTS._replace(prices=dict([read_price("house-model=2,10")])))
    assert given.models[0].usd == pytest.approx((1_000 * 2 + 100 * 10) / 1e6)


def test_a_price_that_some_replies_tell_is_not_all(tmp_path: Path) -> None:
    told = {**usage(1_000, 100), "cost": 0.25}
    lines = [line(f"a{i}", "refund", model="house-model", usage=told if i % 2 else usage(1_000, 100)) for i in range(4)]
    found = replay(tmp_path, lines)
    assert found.models[0].usd is None and found.money.teacher_usd is None
    assert any("(2 requests)" in warning and "--price house-model" in warning for warning in found.warnings)
    whole = replay(tmp_path, [line(f"a{i}", "refund", model="house-model", usage=told) for i in range(4)])
    assert whole.models[0].usd == pytest.approx(1.0) and not any("is unknown (" in said for said in whole.warnings)


@pytest.mark.parametrize("model", ["openai/gpt-4o", "http://127.0.0.1:8000/v1#house", "recorded/answers.jsonl"])
def test_a_teachers_price_is_not_that_of_nameless_lines(tmp_path: Path, model: str) -> None:
    teacher = TeacherConfig(model=model, price=Price(input=1, output=1))
    found = replay(tmp_path, [line("a", "refund", model="", usage=usage())], DEFAULTS._replace(teachers=[teacher]))
    assert found.models[0].usd is None and any("the model of lines that name none" in said for said in found.warnings)


def test_a_log_without_a_model_asks_for_it(tmp_path: Path) -> None:
    lines: list[dict[str, object]] = [
        {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]}
    ]
    assert any("--model" in warning for warning in replay(tmp_path, lines).warnings)
    found = replay(tmp_path, lines, DEFAULTS._replace(model="openai/gpt-4o"))
    assert found.models[0].priced_as == "openai/gpt-4o" and found.models[0].usd


@pytest.mark.parametrize("text", ["gpt", "gpt=1", "gpt=a,b", "gpt=-1,2", "gpt=1,2,3,4", "gpt=1,inf", "gpt=nan,1"])
def test_a_price_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="MODEL=INPUT,OUTPUT"):
        read_price(text)


def test_the_month_is_the_pace_of_the_log(tmp_path: Path) -> None:
    lines = [
        one | {"timestamp": f"2026-10-{1 + i // 4:02d}T{i % 4 * 6:02d}:00:00Z"} for i, one in enumerate(triage(40))
    ]
    found = replay(tmp_path, lines)
    assert found.days == pytest.approx(10.0)
    assert found.money.requests_a_month == pytest.approx(40 * 30.4 / 10)
    named = forecast([tmp_path / "log.jsonl"], options_of(None, ["cost.queries_per_month=5000"], []))
    assert named.money.requests_a_month == 5_000


def test_without_times_the_log_is_a_month_and_that_is_said(tmp_path: Path) -> None:
    money = replay(tmp_path, triage(20)).money
    assert money.requests_a_month == 20 and "taken as one month" in money.month_source
    assert money.teacher_usd is not None and money.teacher_usd.value == pytest.approx(20 * (400 * 2.5 + 20 * 10) / 1e6)


def test_batch_requests_have_the_batch_price(tmp_path: Path) -> None:
    asked = [{"custom_id": str(i), "body": line(f"a{i}", "")["request"]} for i in range(2)]
    replies = [
        {
            "custom_id": str(i),
            "response": {"status_code": 200, "body": line("", "refund", usage=usage(1_000, 100))["response"]},
        }
        for i in range(2)
    ]
    bill = forecast([write(tmp_path / "in.jsonl", asked), write(tmp_path / "out.jsonl", replies)], DEFAULTS).models[0]
    assert bill.usd == pytest.approx(2 * (1_000 * 1.25 + 100 * 5) / 1e6)


def test_compressed_logs_are_read(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl.gz"
    path.write_bytes(gzip.compress("".join(json.dumps(one) + "\n" for one in triage(5)).encode()))
    assert forecast([path], DEFAULTS).requests == 5


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "found no lines"),
        ('{"prompt": "hi"}\n', "none of the 1 lines holds a request with its reply"),
        (json.dumps(triage(1)[0]) + '\n{"request": {"mess\n', "line 2: not valid JSON"),
        ("just words\n", "not valid JSON"),
    ],
    ids=["empty", "no answers", "a broken line", "no log"],
)
def test_what_is_no_log_is_said(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=said):
        forecast([path], DEFAULTS)


def test_a_missing_log_and_an_unknown_kind_are_said(tmp_path: Path) -> None:
    (tmp_path / "log.xlsx").write_bytes(b"PK\x03\x04")
    with pytest.raises(UserError, match="does not exist"):
        forecast([tmp_path / "log.jsonl"], DEFAULTS)
    with pytest.raises(UserError, match=r"\.xlsx file"):
        forecast([tmp_path / "log.xlsx"], DEFAULTS)


def test_a_huge_line_and_a_stream_do_no_harm(tmp_path: Path) -> None:
    huge = line("x " * 2_000_000, "refund", usage=usage(1_000_000, 10))
    stream = {
        "request": {"model": "gpt-4o", "messages": [{"role": "user", "content": "a"}]},
        "response": 'data: {"a": 1}',
    }
    found = replay(tmp_path, [*triage(60), huge, stream])
    assert found.requests == 61 and found.unusable == 1
    assert "a stream of events" in found.unusable_examples[0]
