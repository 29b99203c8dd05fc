"""Both orders, ties, repeats, what is missing, and when nothing is concluded."""

from __future__ import annotations

import numpy as np
import pytest

from distil.calls.request import Reply
from distil.evaluate.judge import Judged, Pair, pairs
from distil.evaluate.judge.pairs import settle
from distil.judging.prompt import verdict_schema
from distil.records import Sampling
from tests.evaluate.judge.replies import JUDGE, SETTINGS, reply, verdict
from tests.tiny import tiny_examples

PAIRS = [Pair(example, "student text", example.answer) for example in tiny_examples(400, "test")]


def settled(*slots: str) -> Judged:
    """The judgment from two verdicts per pair."""
    return settle(PAIRS[: len(slots) // 2], [verdict(slot) for slot in slots], SETTINGS, student="me")


def drawn(p_agree: float, p_win: float, n: int = 400, seed: int = 0) -> Judged:
    """A judge that is consistent in a share of the pairs, and otherwise picks a place at random."""
    draw = np.random.default_rng(seed)
    slots: list[str] = []
    for _ in range(n):
        if draw.random() < p_agree:
            slots += ["A", "B"] if draw.random() < p_win else ["B", "A"]
        else:
            slots += list(draw.choice(["A", "B"], 2))
    return settled(*slots)


def test_every_pair_is_asked_in_both_orders_without_randomness() -> None:
    asked = pairs.requests(PAIRS[:1], SETTINGS, verdict_schema())
    first, second = (request.messages[-1].text for request in asked)
    assert first.index("student text") < first.index(PAIRS[0].teacher)
    assert second.index("student text") > second.index(PAIRS[0].teacher)
    assert {(r.purpose, r.sampling.temperature, r.sample) for r in asked} == {("judge", 0.0, 0)}
    assert asked[0].response_format == verdict_schema()


def test_repeats_are_drawn_apart_and_at_a_temperature() -> None:
    judge = JUDGE.model_copy(update={"sampling": Sampling(temperature=0.9)})
    asked = pairs.requests(PAIRS[:2], SETTINGS._replace(judge=judge, repeats=3), None)
    assert [request.sample for request in asked] == [0] * 4 + [1] * 4 + [2] * 4
    assert {request.sampling.temperature for request in asked} == {0.9}


def test_the_token_limit_is_the_user_s_where_there_is_one() -> None:
    limited = JUDGE.model_copy(update={"sampling": Sampling(max_tokens=80)})
    for judge, limit in ((JUDGE, 1000), (limited, 80)):
        assert pairs.requests(PAIRS[:1], SETTINGS._replace(judge=judge), None)[0].sampling.max_tokens == limit


def test_equal_answers_are_a_tie_without_asking() -> None:
    same = Pair(PAIRS[0].example, PAIRS[0].teacher + " ", PAIRS[0].teacher)
    assert pairs.requests([same], SETTINGS, None) == []
    judged = settle([same, PAIRS[1]], [verdict("A"), verdict("B")], SETTINGS, student="me")
    assert (judged.summary.same, judged.summary.read, judged.summary.replies.asked) == (1, 2, 2)
    assert list(judged.preferences().values()) == [0.5, 1.0]


def test_a_win_needs_both_orders_and_a_conflict_is_a_tie() -> None:
    judged = settled("A", "B", "B", "A", "A", "A", "tie", "tie", "A", "tie")
    assert [score.value for score in judged.scores] == [1.0, 0.0, 0.5, 0.5, 0.5]
    summary = judged.summary
    assert summary.win_rate is not None and summary.win_rate.mean == 0.5
    assert (summary.wins, summary.losses, summary.consistency) == (1, 1, 0.6)
    assert judged.scores[2].detail == "the orders disagree: because | because"


def test_a_judge_that_tells_answers_apart_is_usable() -> None:
    summary = drawn(0.9, 0.7).summary
    assert summary.usable and summary.why_not is None
    assert "read 400 of 400 pairs. The student wins" in summary.sentence
    assert summary.sentence.endswith("one half: better than the teacher.")
    worse, equal = drawn(0.9, 0.3).summary.sentence, drawn(0.9, 0.5).summary.sentence
    assert worse.endswith("worse than the teacher.") and equal.endswith("no difference to the teacher is shown.")


@pytest.mark.parametrize(
    ("slot", "words"),
    [
        ("A", "always names the answer shown first"),
        ("B", "always names the answer shown second"),
        ("tie", "calls every pair a tie"),
    ],
)
def test_a_judge_that_says_one_thing_is_called_out(slot: str, words: str) -> None:
    summary = settled(*[slot] * 400).summary
    assert not summary.usable
    assert words in (summary.why_not or "") and words in summary.sentence
    assert summary.sentence.endswith("these judgments say nothing about quality.")
    assert "%" not in summary.sentence


def test_coin_flips_are_no_better_than_chance() -> None:
    found = [drawn(0.0, 0.5, n=100, seed=seed).summary for seed in range(200)]
    assert np.mean([summary.usable for summary in found]) <= 0.08
    assert "no better than chance" in next(s.sentence for s in found if not s.usable)
    biased = settled(*np.random.default_rng(1).choice(["A", "B"], 400, p=[0.9, 0.1])).summary
    assert not biased.usable and biased.first_slot is not None and biased.first_slot.mean > 0.8
    assert biased.first_slot_p is not None and biased.first_slot_p < 1e-6


def test_a_judge_for_whom_all_is_lost_is_still_usable() -> None:
    """All pairs lost in both orders: no spread, and still far from coin flips."""
    summary = settled(*["B", "A"] * 40).summary
    assert summary.usable and (summary.wins, summary.losses) == (0, 40)


def test_a_small_consistent_sample_is_told_as_too_small() -> None:
    summary = settled("A", "B", "A", "B").summary
    assert not summary.usable and "no better than chance" in (summary.why_not or "")


def test_gaps_are_counted_apart_and_shown() -> None:
    replies: list[Reply | None] = [verdict("A"), verdict("B")] * 6
    replies += [reply("I'm sorry, but I can't help with that."), verdict("A")]
    replies += [reply("Both are nice."), reply("Well.")]
    replies += [reply("The first", "length"), verdict("B")]
    replies += [None, None]
    judged = settle(PAIRS[:10], replies, SETTINGS, student="me")
    found = judged.summary.replies
    assert (found.asked, found.read, found.refused, found.unreadable, found.cut_off, found.failed) == (
        20,
        14,
        1,
        2,
        1,
        2,
    )
    assert (judged.summary.pairs, judged.summary.read, len(judged.scores)) == (10, 6, 6)
    assert judged.summary.win_rate is not None and judged.summary.win_rate.n == 6
    assert not judged.summary.usable
    assert judged.summary.sentence == (
        "The judge (openai/gpt-5) read 6 of 10 pairs (10% of its replies unreadable, 10% missing, 5% refused, 5% cut off): no "
        "conclusion is drawn."
    )
    assert "raise evaluate.judge.sampling.max_tokens" in judged.summary.lines()[1]


def test_a_judge_that_refuses_everything_leaves_a_summary() -> None:
    replies = [reply("", "content_filter")] * 20
    judged = settle(PAIRS[:10], replies, SETTINGS, student="me")
    assert judged.summary.win_rate is None and judged.scores == []
    assert judged.summary.sentence == (
        "The judge (openai/gpt-5) read 0 of 10 pairs (100% of its replies refused): no conclusion is drawn."
    )


def test_four_fifths_have_to_be_read() -> None:
    good = [verdict("A"), verdict("B")] * 80
    missing: list[Reply | None] = [None, None]
    enough = settle(PAIRS[:100], good + missing * 20, SETTINGS, student="me").summary
    short = settle(PAIRS[:100], good[2:] + missing * 21, SETTINGS, student="me").summary
    assert enough.usable and "80 of 100 pairs (20% of its replies missing)" in enough.sentence
    assert not short.usable and short.why_not == "only 79 of 100 pairs were read"


def test_repeats_are_averaged_and_their_noise_is_shown() -> None:
    once = [verdict("A"), verdict("B"), verdict("B"), verdict("A")]
    twice = [verdict("A"), verdict("B"), verdict("A"), verdict("B")]
    judged = settle(PAIRS[:2], [*once, *twice], SETTINGS._replace(repeats=2), student="me")
    assert [score.value for score in judged.scores] == [1.0, 0.5]
    assert judged.summary.repeats_disagree == 0.5
    assert "Asked 2 times, it changed its mind on 50% of the pairs." in judged.summary.details
    partly = settle(PAIRS[:2], [*once, None, None, *twice[2:]], SETTINGS._replace(repeats=2), student="me")
    assert partly.summary.read == 2 and partly.summary.repeats_disagree == 1.0


def test_the_effect_of_length_is_reported_beside_the_win_rate() -> None:
    examples = tiny_examples(60, "test")
    made = [Pair(e, e.answer + " and more words" * (i % 4), e.answer + " words" * 2) for i, e in enumerate(examples)]
    slots = [slot for i in range(60) for slot in (("A", "B") if i % 4 > 0 or i % 8 == 0 else ("B", "A"))]
    summary = settle(made, [verdict(slot) for slot in slots], SETTINGS, student="me").summary
    assert summary.longer_wins is not None and summary.longer_wins > 0.7
    assert summary.length_controlled is not None and summary.length_why is None
    assert any("at equal length the student would win" in line for line in summary.details)
    short = settle(PAIRS[:60], [verdict(slot) for slot in slots], SETTINGS, student="me").summary
    assert short.length_controlled is None
    assert any("can't be told: only 0 of 60 pairs have" in line for line in short.details)
