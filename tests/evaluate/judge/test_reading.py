"""Replies as real judges write them: the last verdict outside of thinking is read, an ambiguous one is not."""

from __future__ import annotations

import numpy as np
import pytest

from distil.calls.request import Reply
from distil.judging import prompt, scores
from distil.judging.reading import Verdict, judgment, read
from distil.records import Usage

ARENA_LEGEND = """1. Assistant A is significantly better: [[A>>B]]
2. Assistant A is slightly better: [[A>B]]
3. Tie, relatively the same: [[A=B]]
4. Assistant B is slightly better: [[B>A]]
5. Assistant B is significantly better: [[B>>A]]

Example output: "My final verdict is tie: [[A=B]]"."""
MT_BENCH_RULE = (
    'output your final verdict by strictly following this format: "[[A]]" if assistant A is better, "[[B]]" if assistant B is '
    'better, and "[[C]]" for a tie.'
)
OUR_OLD_RULE = 'Reply with one JSON object: {"reason": "one short sentence", "better": "A" | "B" | "tie"}.'

REPLIES = [
    # what is asked for, and its near misses
    ('{"reason": "B invents a date.", "better": "A"}', "A"),
    ('{"better": "B", "reason": "x"}', "B"),
    ('```json\n{"reason": "same", "better": "tie"}\n```', "tie"),
    ('Sure! {"reason": "x", "better": "b"} ok', "B"),
    ('Here is my verdict:\n\n```\n{"winner": "A"}\n```\nLet me know!', "A"),
    ('{"Winner": "Answer B"}', "B"),
    ('{"winner": "model_a"}', "A"),
    ('{"winner": "tie (bothbad)"}', "tie"),
    ('{"verdict": {"better": "B", "reason": "shorter"}}', "B"),
    ('{"final_verdict": "[[A]]"}', "A"),
    ("{'reason': 'he said so', 'better': 'A'}", "A"),
    ('{"reason": "it says "no" twice", "better": "B"}', "B"),
    ('{"reason": "I first thought [[B]], but no", "better": "A"}', "A"),
    ('{"reason": "A shows its <think> tags", "better": "B"}', "B"),
    ('{"preference": "equal"}', "tie"),
    ('{"choice": "neither"}', "tie"),
    # the last one counts
    ('{"better": "B"}\nWait, I misread the request.\n{"better": "A"}', "A"),
    ("My first impression is [[A]]. On reflection: [[B]]", "B"),
    # thinking, in the shapes of several models
    ('<think>{"better": "B"}</think>{"better": "A"}', "A"),
    ('First {"better": "B"} seems right.</think>\n{"better": "A"}', "A"),
    ('<think>A looks good. {"better": "A"}', None),
    ("<thinking>[[B]]</thinking>\n\n[[A]]", "A"),
    ("[THINK]Answer B?[/THINK]Answer A", "A"),
    ("◁think▷[[B]]◁/think▷[[C]]", "tie"),
    (
        '<|channel|>analysis<|message|>{"better":"B"}<|end|><|start|>assistant<|channel|>final<|message|>{"better":"A"}<|return|>',
        "A",
    ),
    ('<|channel|>analysis<|message|>We need to compare. {"better": "B"}', None),
    ('analysisWe need to pick. Perhaps B.assistantfinal{"better": "A"}', "A"),
    ("analysisWe need to pick. Final verdict: B", None),
    # MT-Bench
    ("Both are helpful, but assistant A is more precise. [[A]]", "A"),
    ("Assistant B follows the format.\n\nFinal verdict: [[B]]", "B"),
    ("They are equally good. [[C]]", "tie"),
    (MT_BENCH_RULE, None),
    (MT_BENCH_RULE + "\n\nAfter comparing: [[A]]", "A"),
    # Arena-Hard
    ("## My Answer\n...\nMy final verdict is: [[A>>B]]", "A"),
    ("My final verdict is: Assistant B is slightly better: [[B>A]].", "B"),
    ("[[A=B]]", "tie"),
    ("[[A<B]]", "B"),
    ("[[A>A]]", None),
    (ARENA_LEGEND, None),
    (ARENA_LEGEND + "\nMy final verdict is Assistant B is slightly better: [[B>A]]", "B"),
    # AlpacaEval
    ('[{"model": "m", "rank": 1}, {"model": "M", "rank": 2}]', "A"),
    ('{"concise_explanation": "x", "ordered_models": [{"model": "M", "rank": 1}, {"model": "m", "rank": 2}]}', "B"),
    ("M", "B"),
    ("Output (a)", "A"),
    ("Output (b) is better.", "B"),
    # plain words
    ("A", "A"),
    ("**B**", "B"),
    ("Tie.", "tie"),
    ("It's a tie.", "tie"),
    ("Answer A", "A"),
    ("Answer_B.", "B"),
    ("Answer A is better.", "A"),
    ("A is better than B.", "A"),
    ("I would choose Answer B.", "B"),
    ("B\n\nExplanation: B names the year, A does not.", "B"),
    ("Final verdict: A", "A"),
    ("**Final Verdict:** **Answer B**", "B"),
    ("Verdict: tie", "tie"),
    ("The better answer is B because it is complete.", "B"),
    ("Winner: Response A.", "A"),
    ("### Winner\nAnswer A", "A"),
    ("So the winner is \\boxed{A}.", "A"),
    ("Both answers are equally good.", "tie"),
    # no verdict, or none that is clear
    ("", None),
    ("?", None),
    ("Both have their merits.", None),
    ("The better answer is a matter of taste.", None),
    ("Winner: A and B are both fine", None),
    ("Winner: A or B", None),
    ("Verdict: A/B", None),
    ("**Answer A**\nIt is short.\n**Answer B**\nIt is long.", None),
    ('{"better": "A or B"}', None),
    ('{"better": null}', None),
    ('{"better": "A", "winner": "B"}', None),
    ('{"better": "A"} or rather {"better": "unclear"}', None),
    (OUR_OLD_RULE, None),
    (OUR_OLD_RULE + ' {"better": "B"}', "B"),
    (prompt.PAIRWISE, None),
    (prompt.PAIRWISE + '\n{"reason": "x", "better": "A"}', "A"),
]


def reply(text: str, finish_reason: str = "stop") -> Reply:
    return Reply(
        text=text, finish_reason=finish_reason, usage=Usage(), usd=0.0, latency_s=0.1, model="judge", call_id="c"
    )


@pytest.mark.parametrize(("text", "slot"), REPLIES)
def test_the_last_clear_verdict_is_read(text: str, slot: str | None) -> None:
    found = read(text)
    assert (found.slot if found else None) == slot


def test_no_reply_breaks_the_reader() -> None:
    """Cut and joined pieces of the replies above, and numbers that no float holds."""
    draw = np.random.default_rng(0)
    texts = [text for text, _ in REPLIES] + [
        '{"better": 1e999}',
        '{"score": ' + "9" * 400 + "}",
        "4/" + "9" * 5000,
        "[" * 5000,
    ]
    for _ in range(300):
        first, second = (texts[int(n)] for n in draw.integers(0, len(texts), 2))
        mixed = first[: int(draw.integers(0, len(first) + 1))] + second[int(draw.integers(0, len(second) + 1)) :]
        for text in (mixed, first + second):
            found = read(text)
            assert found is None or found.slot in ("A", "B", "tie")
            scored = scores.read(text), scores.read(text, 3)
            assert all(one is None or 0 <= one[0] <= 1 for one in scored)


def test_the_reason_is_one_clean_line() -> None:
    found = read('{"reason": "It\\nhas \\u001b[31mred\\u0007 text", "better": "A"}')
    assert found == Verdict("A", "It has [31mred text")
    assert len(read("very " * 200 + "long. [[A]]").reason) <= 300  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("text", "finish_reason", "gap"),
    [
        ("I'm sorry, but I can't help with comparing these.", "stop", "refused"),
        ("", "content_filter", "refused"),
        ('{"better": "A"}', "refusal", "refused"),
        ("The first answer", "length", "cut_off"),
        ("I lean to [[A]], but the second", "length", "cut_off"),
        ("Both are nice.", "stop", "unreadable"),
    ],
)
def test_what_is_not_read_says_why(text: str, finish_reason: str, gap: str) -> None:
    assert judgment(reply(text, finish_reason)) == gap


def test_a_missing_reply_is_a_failed_one() -> None:
    assert judgment(None) == "failed"


def test_a_whole_object_at_the_token_limit_is_read() -> None:
    assert judgment(reply('{"reason": "x", "better": "B"}', "length")) == Verdict("B", "x")
    assert judgment(reply('{"better": "B"}', "stop")) == Verdict("B", "")


def test_a_verdict_inside_an_echoed_answer_is_none() -> None:
    echo = '<answer_A mark="k1">\n{"better": "A"}\n</answer_A mark="k1">\n'
    assert judgment(reply(echo), "k1") == "unreadable"
    assert judgment(reply(echo + '{"better": "B"}'), "k1") == Verdict("B", "")
