"""Kinds of requests, what is distillable and why, what a student would answer, and what that saves."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from distil.cost.config import CostConfig, StudentHost
from distil.forecast import measure
from distil.forecast.replay import Options, forecast
from distil.forecast.result import Replay, SliceForecast
from tests.forecast.logs import line, triage, usage, write

NAMES = ["Ann", "Bob", "Cid", "Dan", "Eve"]
DEFAULTS = Options(CostConfig())


def replay(tmp_path: Path, lines: list[dict[str, object]], options: Options = DEFAULTS) -> Replay:
    return forecast([write(tmp_path / "log.jsonl", lines)], options)


def prose(count: int) -> list[dict[str, object]]:
    """Stories about other things each time."""
    draw = random.Random(5)
    words = [
        f"{a}{b}" for a in ("ba", "ke", "li", "mo", "su", "ti") for b in ("rin", "tol", "mas", "dek", "pun", "vor")
    ]
    return [
        line(" ".join(draw.choices(words, k=12)), " ".join(draw.choices(words, k=80)), told=None, usage=usage(100, 300))
        for _ in range(count)
    ]


def sums(count: int) -> list[dict[str, object]]:
    """Answers that have to be worked out."""
    draw, lines = random.Random(3), []
    for _ in range(count):
        a, b = draw.randrange(100, 999), draw.randrange(100, 999)
        lines.append(line(f"multiply {a} {b}", str(a * b), told="Work it out. Answer with the number.", usage=usage()))
    return lines


def by_kind(found: Replay) -> dict[str, SliceForecast]:
    return {one.answers: one for one in found.slices}


def test_labels_are_distillable_prose_and_sums_are_not(tmp_path: Path) -> None:
    lines = [*triage(300), *prose(150), *sums(150)]
    random.Random(0).shuffle(lines)
    found = replay(tmp_path, lines)
    kinds = by_kind(found)
    labels = kinds["labels"]
    assert labels.distillable == "yes" and labels.how == "system prompt" and labels.share == pytest.approx(0.5)
    assert labels.quality is not None and labels.quality.value > 0.97
    assert labels.answered is not None and labels.answered.value > 0.9 and labels.collect == 0
    assert kinds["prose"].distillable == "cannot tell" and kinds["prose"].quality is None
    assert kinds["short texts"].distillable == "no" and "worked out" in kinds["short texts"].why
    assert found.answered.value == pytest.approx(0.5 * labels.answered.value)
    assert found.cannot_tell == pytest.approx(0.25)


def test_what_cannot_be_learned_is_not_promised(tmp_path: Path) -> None:
    draw = random.Random(1)
    lines = [line(f"message {i} {draw.random()}", draw.choice(["a", "b"]), usage=usage()) for i in range(300)]
    one = replay(tmp_path, lines).slices[0]
    assert one.answers == "labels" and one.distillable == "cannot tell"
    assert one.quality is not None and one.quality.value < 0.65


def test_repeats_do_not_flatter_the_forecast(tmp_path: Path) -> None:
    draw = random.Random(1)
    asked = [f"message number{i} {draw.choice('abcdefgh')}" for i in range(60)]
    lines = [line(question, draw.choice(["a", "b", "c"]), usage=usage()) for question in asked for _ in range(5)]
    one = replay(tmp_path, lines).slices[0]
    assert one.repeated == pytest.approx(0.8)
    # answers are random: whoever remembers the same question's other answers gains nothing, and the ceiling shows it
    assert one.quality is not None and one.quality.value < 0.5
    assert one.ceiling is not None and one.ceiling.value < 0.5


def test_json_is_told_field_by_field_and_copies_are_found(tmp_path: Path) -> None:
    draw, lines = random.Random(2), []
    for one in triage(400):
        asked = one["request"]["messages"][1]["content"]  # type: ignore[index,call-overload]
        label = one["response"]["choices"][0]["message"]["content"]  # type: ignore[index,call-overload]
        number = draw.randrange(10_000, 99_999)
        with_number = draw.random() < 0.6
        text = f"{asked} my order is {number}" if with_number else f"{asked} my zip code is {number}"
        answer = json.dumps({"queue": label, "order": str(number) if with_number else None})
        lines.append(line(text, answer, usage=usage()))
    one_slice = replay(tmp_path, lines).slices[0]
    assert one_slice.answers == "JSON" and one_slice.distillable == "yes"
    assert one_slice.fields["order"] > 0.97 and one_slice.fields["queue"] > 0.97


def test_canned_replies_are_seen(tmp_path: Path) -> None:
    replies = {
        "parcel": "Thank you for writing to us. Your parcel has left our warehouse and will come within three days, {}.",
        "refund": "We are sorry to hear that. The refund was approved today and will be on your card within a week, {}.",
    }
    draw, lines = random.Random(4), []
    for i in range(200):
        topic = draw.choice(list(replies))
        name = draw.choice(NAMES)
        lines.append(line(f"{topic} case{i} for {name}", replies[topic].format(name), told=None, usage=usage()))
    one = replay(tmp_path, lines).slices[0]
    assert one.answers == "prose" and one.distillable == "yes" and "repeat" in one.why


def test_replies_that_only_near_copies_repeat_promise_nothing(tmp_path: Path) -> None:
    """One long question, asked a second time with a word changed, has the same long reply: nothing is left to predict."""
    lines = []
    for first in prose(40):
        again = json.loads(json.dumps(first))
        again["request"]["messages"][0]["content"] += " so"
        lines += [first, again]
    one = replay(tmp_path, lines).slices[0]
    assert one.answers == "prose" and one.distillable == "cannot tell"
    assert one.quality is None and one.answered is None


def test_a_large_kind_is_measured_on_all_of_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers at random in the second half of the log, told by a word in the first."""
    monkeypatch.setattr(measure, "MOST_ROWS", 200)
    draw = random.Random(0)
    later = [line(f"case{i} {draw.random()}", draw.choice(["refund", "delivery"]), usage=usage()) for i in range(200)]
    one = replay(tmp_path, [*triage(200), *later]).slices[0]
    assert one.quality is not None and 0.5 < one.quality.value < 0.9


def test_images_and_tool_calls_stay_with_the_teacher(tmp_path: Path) -> None:
    shown, called = [], []
    for i in range(60):
        picture = line("", "a cat", usage=usage())
        content = [
            {"type": "text", "text": f"what {i}"},
            {"type": "image_url", "image_url": {"url": "https://a.example/b.png"}},
        ]
        picture["request"]["messages"][1]["content"] = content  # type: ignore[index]
        shown.append(picture)
        call = line(f"pay {i}", "", usage=usage())
        function = {"name": "pay", "arguments": "{}"}
        call["request"]["tools"] = [{"type": "function", "function": {"name": "pay", "parameters": {}}}]  # type: ignore[index]
        message = {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "1", "type": "function", "function": function}],
        }
        call["response"]["choices"][0]["message"] = message  # type: ignore[index]
        called.append(call)
    found = by_kind(replay(tmp_path, [*shown, *called]))
    assert found["images"].distillable == found["tool calls"].distillable == "no"
    assert found["images"].quality is None and found["tool calls"].answered is None


@pytest.mark.parametrize("count", [1, 2, 49])
def test_a_handful_of_requests_says_that_it_is_too_few(tmp_path: Path, count: int) -> None:
    one = replay(tmp_path, triage(count)).slices[0]
    assert one.distillable == "cannot tell" and "too few" in one.why and one.requests == count


def test_all_requests_alike_need_no_model(tmp_path: Path) -> None:
    found = replay(tmp_path, [line("ping", "pong", usage=usage()) for _ in range(80)])
    assert found.slices[0].distillable == "yes" and "no model is needed" in found.slices[0].why
    assert found.repeated == pytest.approx(79 / 80)
    assert any("a cache answers them" in warning for warning in found.warnings)


def test_other_languages_are_compared_too(tmp_path: Path) -> None:
    draw, lines = random.Random(0), []
    words = {"退款": ["退钱", "还我钱", "退货款"], "物流": ["包裹", "快递", "发货"]}
    for i in range(200):
        label = draw.choice(list(words))
        lines.append(line(f"你好我想问{draw.choice(words[label])}的事{i}谢谢", label, told="分类", usage=usage()))
    one = replay(tmp_path, lines).slices[0]
    assert one.distillable == "yes" and one.quality is not None and one.quality.value > 0.95


def test_a_name_in_the_system_prompt_makes_no_new_kind(tmp_path: Path) -> None:
    lines = triage(300)
    for i, one in enumerate(lines):
        told = f"You help {NAMES[i % 5]} of shop {i}. Sort each message into its queue: one word only."
        one["request"]["messages"][0]["content"] = told  # type: ignore[index]
    assert len(replay(tmp_path, lines).slices) == 1


def test_money_adds_up(tmp_path: Path) -> None:
    host = StudentHost(input=0.1, output=0.4)
    section = CostConfig(student_host=host, training_usd=5.0, audit_share=0.1)
    money = replay(tmp_path, triage(300), Options(section, queries=1_000_000)).money
    each = (400 * 2.5 + 20 * 10) / 1e6
    assert money.teacher_usd is not None and money.teacher_usd.value == pytest.approx(1e6 * each)
    assert money.student_usd == pytest.approx(1e6 * (400 * 0.1 + 20 * 0.4) / 1e6)
    assert money.avoided_usd is not None and money.saving_usd is not None
    assert money.avoided_usd.value <= 0.9 * 1e6 * each
    assert money.saving_usd.value == pytest.approx(money.avoided_usd.value - money.student_usd)
    collected = replay(tmp_path, triage(300)).slices[0].collect
    assert money.one_time_usd == pytest.approx(5 + collected * each) and money.payback == "under a day"


def test_without_a_host_the_saving_is_unknown(tmp_path: Path) -> None:
    found = replay(tmp_path, triage(200))
    assert found.money.student_usd is None and found.money.saving_usd is None and found.money.most_usd
    assert any("cost.student_host.usd_per_hour" in warning for warning in found.warnings)


def test_a_long_log_is_sampled_and_billed_whole(tmp_path: Path) -> None:
    found = replay(tmp_path, triage(500), DEFAULTS._replace(rows=120))
    assert (found.requests, found.sampled) == (500, 120)
    assert found.models[0].requests == 500 and found.slices[0].examples == 500
    assert "random sample of 120" in found.assumptions["texts looked at"]


def test_the_same_log_gives_the_same_forecast(tmp_path: Path) -> None:
    assert replay(tmp_path, triage(120)) == replay(tmp_path, triage(120))
