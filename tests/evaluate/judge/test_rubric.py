"""Scores by a rubric: read from real-looking replies, the same for student and teacher, usable by paired statistics."""

from __future__ import annotations

import pytest

from distil.calls.request import Reply
from distil.evaluate.judge import Pair, Settings, rubric
from distil.evaluate.judge.rubric import settle
from distil.judging.prompt import CHECKED, SCORED, score_schema
from distil.judging.scores import read
from tests.evaluate.judge.replies import JUDGE, reply
from tests.tiny import tiny_examples

PAIRS = [Pair(example, "student text", example.answer) for example in tiny_examples(30, "test")]
SCORES = Settings(JUDGE, "rubric", ("5 = right, 1 = wrong",))
CHECKS = Settings(JUDGE, "rubric", ("names the order", "is JSON", "is polite"))


@pytest.mark.parametrize(
    ("text", "score"),
    [
        ('{"reason": "x", "score": 5}', 1.0),
        ('{"score": "4"}', 0.75),
        ('{"score": "3/5", "reason": "x"}', 0.5),
        ('```json\n{"rating": 1}\n```', 0.0),
        ('<think>{"score": 1}</think> {"score": 4}', 0.75),
        ('{"score": 2} No, wait. {"score": 3}', 0.5),
        ("Rating: [[4]]", 0.75),
        ("**Score:** 4/5", 0.75),
        ("I give it a score of 2.", 0.25),
        ("3", 0.5),
        ("4 out of 5", 0.75),
        ('{"score": 8}', None),
        ('{"score": 0}', None),
        ('{"score": true}', None),
        ("Score: 8/10", None),
        ("a score from 1 to 5", None),
        ("It is good.", None),
        (SCORED, None),
    ],
)
def test_a_score_is_read_or_not_at_all(text: str, score: float | None) -> None:
    found = read(text)
    assert (found[0] if found else None) == score


@pytest.mark.parametrize(
    ("text", "score"),
    [
        ('{"reason": "x", "met": [true, false, true]}', 2 / 3),
        ('{"met": ["yes", "No", "met"]}', 2 / 3),
        ('{"criteria": {"1": "yes", "2": "yes", "3": "yes"}}', 1.0),
        ('Here: {"1": true, "2": false, "3": false}', 1 / 3),
        ('{"met": [true, false]}', None),
        ('{"met": [true, false, "partly"]}', None),
        ('{"met": [true, true, true, true]}', None),
        ("yes, no, yes", None),
        (CHECKED, None),
    ],
)
def test_criteria_need_a_clear_answer_each(text: str, score: float | None) -> None:
    found = read(text, 3)
    assert (found[0] if found else None) == (None if score is None else pytest.approx(score))


def test_both_answers_are_scored_and_paired() -> None:
    replies = [reply(f'{{"reason": "r", "score": {score}}}') for _ in range(15) for score in (3, 4, 4, 5)]
    judged = settle(PAIRS, replies, SCORES, student="me")
    assert {(score.model, score.metric) for score in judged.scores} == {
        ("me", "judge_rubric"),
        ("teacher", "judge_rubric"),
    }
    ours = {score.prompt_id: score.value for score in judged.scores if score.model == "me"}
    theirs = {score.prompt_id: score.value for score in judged.scores if score.model == "teacher"}
    assert ours.keys() == theirs.keys() and all(theirs[key] - ours[key] == pytest.approx(0.25) for key in ours)
    assert judged.preferences() == ours
    found = judged.summary.rubric
    assert found is not None and found.difference.mean == pytest.approx(-0.25)
    assert judged.summary.usable and judged.summary.win_rate is None and judged.summary.losses == 30
    assert "the student scores 0.625 and the teacher 0.875" in judged.summary.sentence
    assert judged.summary.sentence.endswith("worse than the teacher.")


def test_a_prompt_counts_only_with_both_scores() -> None:
    replies: list[Reply | None] = [reply('{"score": 4}'), reply('{"score": 5}')] * 5
    replies += [reply('{"score": 4}'), None, reply("no", "length"), reply("I'm sorry, but I can't help with that.")]
    judged = settle(PAIRS[:7], replies, SCORES, student="me")
    assert (judged.summary.read, len(judged.scores)) == (5, 10)
    counts = judged.summary.replies
    assert (counts.failed, counts.cut_off, counts.refused, counts.read) == (1, 1, 1, 11)
    assert not judged.summary.usable and judged.summary.sentence.endswith("no conclusion is drawn.")
    nothing = settle(PAIRS[:3], [None] * 6, SCORES, student="me").summary
    assert nothing.rubric is None and "0 of 3 pairs (100% of its replies missing)" in nothing.sentence


def test_the_same_score_for_everything_is_called_out() -> None:
    judged = settle(PAIRS, [reply('{"score": 4}')] * 60, SCORES, student="me")
    assert judged.summary.why_not == "the judge gives every answer the same score"


def test_the_schema_fits_the_rubric() -> None:
    schema = rubric.requests(PAIRS[:1], CHECKS, score_schema(CHECKS.rubric))[0].response_format
    assert schema is not None and "met" in schema["json_schema"]["schema"]["properties"]
    assert "2. is JSON" in rubric.requests(PAIRS[:1], CHECKS, None)[0].messages[-1].text
