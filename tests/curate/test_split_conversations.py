"""What belongs together: conversations, documents, written prompts. What does not: greetings, labels, one system turn for all."""

from __future__ import annotations

import csv
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from distil.curate.config import CurateConfig
from distil.curate.split.components import Edges, Item
from distil.curate.split.links import SHORT, Row, make_items
from distil.curate.stage import run
from distil.records import Answer, Example, Message, Prompt
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_examples
from distil.text import normalize
from tests.curate.material import WORDS, answer, distinct_text, project_with, prompt

GREETING, GOODBYE = "Hello! How can I help you today?", "You're welcome. If you have any more questions, just ask!"


def requests(*turns: str, system: str | None = None, window: int | None = None) -> list[tuple[Prompt, Answer]]:
    """A conversation (user, assistant, user, ...) as it is logged: a request for each answer, with the turns before it."""
    first = [Message(role="system", content=system)] if system else []
    messages = [Message(role=("user", "assistant")[i % 2], content=text) for i, text in enumerate(turns)]
    logged = []
    for end in range(1, len(turns), 2):
        start = 0 if window is None else max(0, end - window)
        asked = Prompt.make([*first, *messages[start:end]])
        logged.append((asked, answer(asked, turns[end])))
    return logged


def say(rng: random.Random, words: int) -> str:
    return " ".join(rng.choices(WORDS, k=words))


def items(pairs: Sequence[tuple[Prompt, Answer]]) -> list[Item]:
    return make_items([Row(asked, [said]) for asked, said in pairs], {})


def components(made: Sequence[Item]) -> list[set[int]]:
    return [set(rows) for rows in Edges(made, []).components(range(len(made)), len(made))]


def curated(folder: Path, pairs: Sequence[tuple[Prompt, Answer]], **settings: Any) -> dict[str, list[Example]]:
    distinct = {asked.id: (asked, said) for asked, said in pairs}
    project = project_with(folder, [p for p, _ in distinct.values()], [a for _, a in distinct.values()])
    run(project, CurateConfig(**{"filters": [], **settings}))
    return read_back(project)


def read_back(project: Project) -> dict[str, list[Example]]:
    return {side: list(read_examples(project.split(side))) for side in ("train", "validation", "test")}


def taught(examples: Sequence[Example]) -> set[str]:
    return {normalize(turn.text) for example in examples for turn in example.messages if turn.role == "assistant"}


def test_logged_chats_leak_no_answer_into_training(tmp_path: Path) -> None:
    """200 chats of 4 turns are 800 requests; 106 of 200 test answers stood in training conversations before."""
    rng = random.Random(0)
    pairs = [pair for _ in range(200) for pair in requests(*(say(rng, 12) for _ in range(8)), system="Be kind.")]
    sides = curated(tmp_path, pairs)
    assert 190 <= len(sides["test"]) <= 200
    learned = taught(sides["train"])
    assert not [e.id for e in sides["test"] if normalize(e.answer) in learned]
    assert not [e.id for e in sides["test"] for turn in e.messages if normalize(turn.text) in learned]


@st.composite
def logs(draw: st.DrawFn) -> list[tuple[Prompt, Answer]]:
    """Chats with stock phrases, some logged whole and some with their last turns only."""
    rng = random.Random(draw(st.integers(0, 10**6)))
    pairs = []
    for _ in range(draw(st.integers(4, 25))):
        turns = [rng.choice(["Hi", "Hello", say(rng, 9)]), rng.choice([GREETING, say(rng, 9)])]
        for _ in range(rng.randrange(4)):
            turns += [say(rng, rng.choice([3, 9])), rng.choice(["OK.", "Yes.", say(rng, 12)])]
        pairs += requests(*turns, window=rng.choice([None, None, 3, 7]))
    return pairs


@given(logs())
@settings(max_examples=25, deadline=None)
def test_no_turn_of_a_test_chat_is_taught_by_train(pairs: list[tuple[Prompt, Answer]]) -> None:
    """Turns of SHORT characters or more, that is, that are not in many conversations."""
    made = items(pairs)
    groups = components([item if item.train_only is None else Item(item.key) for item in made])
    of_row = {row: number for number, group in enumerate(groups) for row in group}
    for a, (asked, _) in enumerate(pairs):
        for b, (_, said) in enumerate(pairs):
            text = normalize(said.text)
            shared = text in {normalize(turn.text) for turn in asked.messages if turn.role == "assistant"}
            if shared and len(text) >= SHORT and text != normalize(GREETING) and made[a].train_only is None:
                assert of_row[a] == of_row[b] or made[b].train_only is not None


def test_greetings_and_goodbyes_do_not_glue_chats_together() -> None:
    rng = random.Random(1)
    pairs = []
    for _ in range(60):
        pairs += requests("Hi", GREETING, say(rng, 10), say(rng, 20), "Thanks!", GOODBYE)
    distinct = list({asked.id: (asked, said) for asked, said in pairs}.values())
    made = items(distinct)
    assert max(map(len, components(made))) == 2 and len(components(made)) == 61
    (opening,) = [item for item in made if item.train_only]
    assert "60 conversations begin with it" in str(opening.train_only)


def test_canned_answers_do_not_glue_questions_together() -> None:
    """What a support desk says to many is learned like a label: it must be known to be tested."""
    canned = [f"{distinct_text(n)}. " * 5 for n in range(6)]
    pairs = [(p, answer(p, canned[n % 6])) for n, p in enumerate(prompt(distinct_text(100 + n)) for n in range(60))]
    assert len(components(items(pairs))) == 60


def test_a_log_of_the_last_turns_is_one_conversation() -> None:
    rng = random.Random(3)
    pairs = [pair for _ in range(30) for pair in requests(*(say(rng, 5) for _ in range(30)), window=9)]
    assert sorted(map(len, components(items(pairs)))) == [15] * 30


def test_few_shot_examples_do_not_glue_rows_together() -> None:
    shown = ["Classify: my card is lost", "card_lost", "Classify: where is my cash", "cash_missing"]
    pairs = [requests(*shown, f"Classify: {distinct_text(n)}", "other")[-1] for n in range(40)]
    assert max(map(len, components(items(pairs)))) == 1


def test_a_chat_with_short_turns_is_one_component() -> None:
    pairs = [pair for n in range(30) for pair in requests(f"q{n}", "yes", "and?", "no", "so?", "ok")]
    assert sorted(map(len, components(items(pairs)))) == [3] * 30


def test_labels_do_not_glue_rows_together(data_dir: Callable[[str], Path]) -> None:
    with data_dir("banking77/banking_train.csv").open(newline="") as file:
        rows = [(prompt(row["text"]), row["category"]) for row in csv.DictReader(file)][:3000]
    pairs = list({asked.id: (asked, answer(asked, label)) for asked, label in rows}.values())
    assert max(map(len, components(items(pairs)))) <= 2  # the same question with other blanks


def test_documents_in_the_system_turn_are_on_one_side(tmp_path: Path) -> None:
    rng = random.Random(2)
    asked = ["Summarize it.", "Who wrote it?", "What is claimed?", "Name three keywords.", "Is it kind?"]
    pairs = []
    for _ in range(40):
        document = "Answer from this text:\n" + say(rng, 60)
        pairs += [(p, answer(p, say(rng, 8))) for p in (prompt(question, system=document) for question in asked)]
    sides = curated(tmp_path, pairs, test=50)
    held = {side: {e.messages[0].text for e in examples} for side, examples in sides.items()}
    assert len(sides["test"]) == 50 and len({e.messages[1].text for e in sides["test"]}) == 5
    assert not held["test"] & held["train"] and not held["validation"] & (held["train"] | held["test"])


def test_instructions_names_and_dates_are_no_documents() -> None:
    for systems in (
        ["You are a helpful assistant of a large bank, and answer briefly and with great care in plain English."],
        [f"You help {name}. Today is 2026-11-{day:02d}." for name in ("Ann", "Bob", "Eve") for day in range(1, 15)],
        [
            "Be brief. " * 20,
            "Think step by step before you answer the customer. " * 5,
            "Answer as a pirate would. " * 9,
        ],
    ):
        pairs = [(p, answer(p, "x")) for p in (prompt("How do I pay?", system=text) for text in systems)]
        assert len(components(items(pairs))) == 1  # one question, however it is introduced
        others = [
            (p, answer(p, "x")) for n, text in enumerate(systems * 9) for p in [prompt(distinct_text(n), system=text)]
        ]
        assert max(map(len, components(items(others)))) == 1  # and many questions are not one


def test_an_equal_image_question_is_not_an_equal_prompt() -> None:
    def shown(url: str) -> Prompt:
        parts = [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": url}}]
        return Prompt.make([Message(role="user", content=parts)])

    pairs = [(p, answer(p, "a thing")) for p in (shown("a.png"), shown("b.png"))]
    assert len(components(items(pairs))) == 2
