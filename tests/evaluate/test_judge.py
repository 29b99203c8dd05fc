"""Both orders, ties, and a judge that only likes what it sees first."""

from __future__ import annotations

from typing import Any

import pytest

from distil.calls.config import TeacherConfig
from distil.calls.request import Reply
from distil.evaluate import judge
from distil.records import Usage
from tests.tiny import tiny_examples

PAIRS = [judge.Pair(example, "student text", example.answer) for example in tiny_examples(4, "test")]


def reply(text: str) -> Reply:
    return Reply(text=text, finish_reason="stop", usage=Usage(), usd=0.0, latency_s=0.1, model="judge", call_id="c")


def settled(*words: str) -> Any:
    replies = [reply(f'{{"reason": "because", "better": "{word}"}}') for word in words]
    return judge.settle(PAIRS[: len(words) // 2], replies, "judge", student="me", confidence=0.95)


def test_every_pair_is_asked_in_both_orders_without_randomness() -> None:
    asked = judge.requests(PAIRS[:1], TeacherConfig(model="openai/gpt-5"))
    first, second = (request.messages[-1].text for request in asked)
    assert first.index("student text") < first.index(PAIRS[0].teacher)
    assert second.index("student text") > second.index(PAIRS[0].teacher)
    assert {(r.purpose, r.sampling.temperature) for r in asked} == {("judge", 0.0)}


def test_a_win_needs_both_orders_and_a_conflict_is_a_tie() -> None:
    summary, scores = settled("A", "B", "B", "A", "A", "A", "tie", "tie")
    assert [score.value for score in scores] == [1.0, 0.0, 0.5, 0.5]
    assert summary.win_rate.mean == 0.5
    assert summary.consistency == 0.75
    assert scores[2].detail == "the orders disagree: because | because"


def test_a_judge_that_prefers_the_first_slot_decides_nothing() -> None:
    summary, _ = settled(*["A"] * 8)
    assert summary.win_rate.mean == 0.5
    assert summary.first_slot == 1.0
    assert summary.consistency == 0.0


@pytest.mark.parametrize(
    ("text", "slot"),
    [
        ('```json\n{"better": "tie"}\n```', "tie"),
        ('Sure! {"reason": "x", "better": "b"} ok', "B"),
        ("A is better", None),
    ],
)
def test_replies_are_read_leniently_but_never_guessed(text: str, slot: str | None) -> None:
    found = judge.read(text)
    assert (found[0] if found else None) == slot


def test_unreadable_and_failed_replies_leave_their_pair_out() -> None:
    replies = [reply("?"), reply('{"better": "A"}'), None, None, reply('{"better": "A"}'), reply('{"better": "B"}')]
    summary, scores = judge.settle(PAIRS[:3], replies, "judge", student="me", confidence=0.95)
    assert summary is not None
    assert (summary.unreadable, len(scores), summary.win_rate.n) == (2, 1, 1)
    assert judge.settle(PAIRS[:1], [None, None], "judge", student="me", confidence=0.95) == (None, [])


def test_the_effect_of_length_is_reported_beside_the_win_rate() -> None:
    examples = tiny_examples(40, "test")
    pairs = [
        judge.Pair(e, e.answer + " and more words" * (i % 4), e.answer + " words" * 2) for i, e in enumerate(examples)
    ]
    slots = [("A", "B") if (i % 4 > 1) != (i % 10 == 0) else ("B", "A") for i in range(40)]
    replies = [reply(f'{{"reason": "longer", "better": "{slot}"}}') for both in slots for slot in both]
    summary, _ = judge.settle(pairs, replies, "judge", student="me", confidence=0.95)
    assert summary is not None and summary.longer_wins == 0.65
    assert summary.length_controlled is not None and summary.length_controlled.n == 40
    assert settled("A", "B")[0].length_controlled is None
