"""Loops of models are found, whatever repeats in them; what repeats rightly is left alone."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from distil.curate.evidence.corpus import Corpus
from distil.curate.evidence.loops import find_loop
from distil.curate.evidence.repetition import repetition
from tests.curate.material import answer, prompt

PLAIN = Corpus(json_share=0.0, same_script_share=1.0, answers=100)
PARAGRAPH = (
    "When you are planning a garden it is important to consider the amount of sunlight that each bed receives during the day "
    "because some vegetables need at least eight hours of full sun while others are content with a shady corner."
)
OPENING = (
    "The history of the bridge begins in 1873, when a group of merchants asked the city council for permission to cross the "
    "river. An engineer from the north drew three plans. Two of them were rejected because of cost. "
)


def changed(turn: int) -> str:
    """The paragraph with two of its words exchanged."""
    words = PARAGRAPH.split()
    words[turn * 7 % len(words)] = ["tree", "stone", "river", "cloud", "house"][turn % 5]
    words[(turn * 11 + 3) % len(words)] = ["blue", "old", "green"][turn % 3]
    return " ".join(words)


LOOPS = {
    "a long paragraph": " ".join([PARAGRAPH] * 8),
    "paragraphs": "\n\n".join([PARAGRAPH] * 8),
    "numbered": "\n".join(f"{i}. I will help you with that." for i in range(1, 61)),
    "emoji": "🎉" * 200,
    "joined emoji": "👩‍👩‍👧" * 60,
    "two emoji": "Great! " + "😂🤣" * 100,
    "line ends": "ok" + "\n" * 500,
    "blank lines": "ok" + "\n \n" * 200,
    "dots": "and then" + "." * 400,
    "spaced dots": "wait" + " ." * 200,
    "a counter": " ".join(f"This is attempt number {i} to answer your question." for i in range(1, 40)),
    "counting down": " ".join(f"There are {i} apples left on the old tree." for i in range(60, 20, -1)),
    "small changes": "\n\n".join(map(changed, range(10))),
    "JSON strings": json.dumps({"words": ["machine learning", "deep learning", "neural networks"] * 20}),
    "JSON objects": json.dumps({"steps": [{"action": "click", "target": "submit button"}] * 40}),
    "JSON text": json.dumps({"answer": (PARAGRAPH + " ") * 6}),
    "at the end": OPENING + "We hope you enjoy your stay. " * 20,
    "one word": OPENING + "the " * 60,
    "numbered at the end": OPENING
    + "\n"
    + "\n".join(f"{i}. The bridge was opened to the public." for i in range(1, 40)),
    "Chinese": "我会帮助你解决这个问题。" * 30,
    "Chinese paragraph": "今天天气很好，我们一起去公园散步，然后在湖边吃午饭，晚上回家看电影。" * 8,
    "Chinese counter": "\n".join(f"{i}. 我会帮助你完成这个任务并且检查结果。" for i in range(1, 30)),
    "Japanese": "よろしくお願いいたします。" * 25,
    "Korean": "도와드리겠습니다. " * 40,
    "Thai": "ขอบคุณครับ" * 40,
    "Russian": "Я помогу вам с этим вопросом. " * 20,
    "syllables": "ha" * 100,
    "a function": "```python\n"
    + "def add(first, second):\n    '''Add two numbers and return the result now.'''\n    return x\n\n" * 50
    + "```",
    "list items": "\n".join(
        ["- Use a strong password", "- Enable both factors", "- Keep your software up to date"] * 8
    ),
    "digits": "The result is 3." + "3" * 1500,
    "invisible signs": "\u200b" * 300,
    "spaced emoji": "🎉 " * 200,
    "a year that counts": " ".join(
        f"In {year} the company continued to grow and expand its business into new markets."
        for year in range(1990, 2020)
    ),
    "Hindi": "हम आपकी मदद करेंगे। " * 25,
    "a border without end": "| a | b |\n|" + "-" * 900,
}
_DICE = random.Random(1)
RIGHT = {
    "zeros": "buffer = [" + ", ".join(["0"] * 64) + "]",
    "zeros in code": "Here:\n```python\nx = [\n" + "    0, 0, 0, 0, 0, 0, 0, 0,\n" * 8 + "]\n```",
    "CSV": "\n".join(["0,0,0,0"] * 60),
    "table": "| a | b |\n|---|---|\n" + "| 0 | 0 |\n" * 40,
    "table of words": "| Day | Status |\n|---|---|\n" + "| Monday | open all day |\n" * 12,
    "nulls": json.dumps({"values": [None] * 80, "flags": [False] * 80, "n": [0] * 80}),
    "DNA": "ACGT" * 80 + "".join(_DICE.choice("ACGT") for _ in range(300)),
    "base64 of zeros": "A" * 400,
    "hex": "0x" + "00" * 100,
    "binary": "The code is " + "0101" * 60,
    "labels": json.dumps(["positive"] * 50),
    "tags": json.dumps(["O", "O", "B-PER", "I-PER"] * 20),
    "records": json.dumps([{"id": i, "price": 10 * i, "status": "in stock now"} for i in range(50)]),
    "refrain": "\n\n".join(
        f"{verse}\n\nAnd we sail, sail away,\nAnd we sail, sail away,\nTo the harbor of the day,\nAnd we sail, sail away."
        for verse in ("The morning bell is ringing", "My father was a fisherman", "There is a light at Bannerman")
    ),
    "round": "Row, row, row your boat gently down the stream, merrily, merrily, merrily, merrily, life is but a dream for all.",
    "stars": "\n".join("*" * i for i in range(1, 40)),
    "box": "+" + "-" * 78 + "+\n" + ("|" + " " * 78 + "|\n") * 20,
    "rule": "-" * 200,
    "repeated lines of code": "```python\n" + 'print("hello")\n' * 30 + "```",
    "code without a fence": "\n".join(["    total += 1"] * 40),
    "empty cells": "<table>\n" + "<tr><td></td><td></td></tr>\n" * 40 + "</table>",
    "SQL": "\n".join(f"INSERT INTO users (id, name) VALUES ({i}, 'user{i}');" for i in range(50)),
    "YAML": "\n".join(f"- name: node{i}\n  role: worker\n  enabled: true" for i in range(30)),
    "items that start alike": "\n".join(
        "You can " + rest
        for rest in (
            "bake bread",
            "visit an old friend",
            "walk to the lake",
            "learn birds",
            "write a letter",
            "paint a fence",
        )
    ),
    "items of one template": "\n".join(
        f"- Please make sure that your team has completed the required training on {topic}."
        for topic in [
            "safety",
            "privacy",
            "fraud",
            "hiring",
            "travel",
            "ethics",
            "budgets",
            "vendors",
            "security",
            "inclusion",
        ]
    ),
    "labels by line": "\n".join(["positive", "negative", "neutral"] * 20) + "\nTrue" * 40,
    "litany": "\n".join(
        f"For {whom}, we pray to you.\nLord, hear our prayer."
        for whom in ("the sick", "all who travel", "the leaders", "those who died", "our children", "every land")
    ),
    "steps": " ".join(f"Step {i}: do thing {i}." for i in range(30)),
    "multiplication": "\n".join(f"{i} times 7 is equal to {7 * i}." for i in range(1, 25)),
    "figures by year": " ".join(
        f"In {1990 + i} the company earned {i * i % 17} million dollars in revenue." for i in range(24)
    ),
    "a plan": "\n".join(f"Day {i}: Walk {10 + 2 * i} minutes in the morning and stretch for 5." for i in range(1, 31)),
    "contents": "\n".join(
        f"{name} {'.' * 60} {page}" for name, page in (("Methods", 7), ("Results", 19), ("References", 41))
    ),
    "chords": "Em G D C " * 12,
    "numbers": " ".join(map(str, range(300))),
}


@pytest.mark.parametrize("name", LOOPS)
def test_loops_of_models_are_found(name: str) -> None:
    loop = find_loop(LOOPS[name])
    assert loop is not None and 0.2 < loop.share <= 1


@pytest.mark.parametrize("name", RIGHT)
def test_what_repeats_rightly_is_no_loop(name: str) -> None:
    assert find_loop(RIGHT[name]) is None


def test_a_loop_that_was_asked_for_is_right() -> None:
    lines = "I will not talk in class. " * 50
    asked = prompt("Write 'I will not talk in class.' 50 times.")
    assert repetition(asked, answer(asked, lines), PLAIN) is None
    other = prompt("What happens in class?")
    found = repetition(other, answer(other, lines), PLAIN)
    assert found is not None and "over and over" in str(found.detail)


def test_a_song_may_end_with_its_refrain() -> None:
    song = (
        "A verse that is sung once.\n" + "We will sail away to the harbor of the day, my friend, in the morning.\n" * 4
    )
    asked = prompt("Write a song about the sea.")
    assert repetition(asked, answer(asked, song), PLAIN) is None
    other = prompt("Describe the harbor.")
    assert repetition(other, answer(other, song), PLAIN) is not None


@pytest.mark.parametrize("model", ["gpt4", "claude-2", "text_davinci_003", "alpaca-7b", "vicuna-7b-v1.3"])
def test_real_answers_are_hardly_ever_loops(data_dir: Callable[[str], Path], model: str) -> None:
    """Those that are were read one by one: davinci's one and vicuna's one do loop."""
    found = []
    for line in data_dir(f"alpaca_eval/{model}.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        asked = prompt(row["prompt"])
        if repetition(asked, answer(asked, row["output"] or ""), PLAIN):
            found.append(row["prompt"][:40])
    assert len(found) == {"text_davinci_003": 1, "vicuna-7b-v1.3": 1}.get(model, 0), found
