"""The bundled task's generator: what it promises about frames, words, references and numbers."""

from __future__ import annotations

import itertools
import json
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest

from distil.bundled.triage import (
    FIELDS,
    INTENTS,
    PRODUCTS,
    SENTIMENTS,
    SYSTEM,
    URGENCIES,
    answer_text,
    field_accuracy,
    generate,
    write_prompts,
)
from distil.bundled.triage.compose import Composer, Meaning
from distil.bundled.triage.generate import stream
from distil.bundled.triage.grammar import FRAMES, draw, parse
from distil.bundled.triage.surroundings import TABLES
from distil.curate.similar import nearest, shingle_sets
from distil.errors import UserError
from tests.bundled.phrases import combinations, content_frames, count


def words(text: str) -> set[str]:
    return set(re.findall(r"[a-z]+", text.lower()))


def test_the_grammar_has_far_more_than_a_million_messages() -> None:
    assert combinations("train") > 10**7  # request x product name x opener x closer, no cue or chatter counted
    assert combinations("train") * count("[a|b]") > 10**7
    assert len(content_frames("train")) > 250
    assert len(content_frames("test")) > 120


def test_repeated_messages_are_rare() -> None:
    """With n draws from m equally likely messages about n^2 / 2m repeat: 20,000 draws and 10^6 messages would give 200."""
    for split in ("train", "test"):
        rng = random.Random(1)
        composer = Composer(rng, split)  # type: ignore[arg-type]
        meaning = Meaning("refund", "phone", "normal", "neutral", None)  # the narrowest case: no cue, no number
        drawn = [composer.message(meaning)[0] for _ in range(4000)]
        assert len(set(drawn)) > 3900
    messages = [example.message for example in generate(20_000, seed=3)]
    assert len(set(messages)) == len(messages)


def test_train_and_test_share_no_content_frame_and_no_sentence() -> None:
    for intent, splits in FRAMES.items():
        for kind in ("wish", "ask", "tell"):
            assert not set(splits["train"][kind]) & set(splits["test"][kind]), intent
    for name, table in TABLES.items():
        if name not in ("object",):  # "my {n}" is a noun phrase that everybody needs
            assert not set(table["train"]) & set(table["test"]), name
    groups = {split: {example.group for example in generate(3000, split=split)} for split in ("train", "test")}  # type: ignore[arg-type]
    assert not groups["train"] & groups["test"]


def test_most_test_messages_have_a_word_unseen_in_training() -> None:
    """Counted without typing mistakes, on the grammar's own words, so that a typo is not taken for a new word."""
    known: set[str] = set()
    for splits in FRAMES.values():
        for phrases in splits["train"].values():
            known |= words(" ".join(phrases))
    for table in TABLES.values():
        known |= words(" ".join(table["train"]))
    for names in PRODUCTS.values():
        known |= words(" ".join(names["train"]))
    frames = content_frames("test")
    examples = generate(600, seed=5, split="test")
    new_in_frame = [bool(words(frames[example.group]) - known) for example in examples]
    assert sum(new_in_frame) / len(examples) > 0.8  # in the request itself, not only in a name or a greeting
    seen = set().union(*(words(example.message) for example in generate(20_000, seed=6)))
    assert sum(bool(words(example.message) - seen) for example in examples) / len(examples) > 0.95


def test_equal_seeds_give_equal_examples_in_another_process() -> None:
    assert generate(50, seed=4) == generate(50, seed=4)
    assert generate(10, seed=4) == generate(50, seed=4)[:10]
    assert generate(10, seed=4) != generate(10, seed=5)
    code = "from distil.bundled.triage import generate; print(repr([e.message for e in generate(5, seed=9, split='test')]))"
    runs = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    ]
    assert runs[0] == runs[1] == repr([e.message for e in generate(5, seed=9, split="test")]) + "\n"


def test_references_have_declared_values_and_exact_ids() -> None:
    for split in ("train", "test"):
        for example in generate(1500, seed=2, split=split):  # type: ignore[arg-type]
            reference = example.reference
            assert tuple(reference) == FIELDS
            assert reference["intent"] in INTENTS and example.group.startswith(reference["intent"] + "-")
            assert reference["urgency"] in URGENCIES and reference["sentiment"] in SENTIMENTS
            assert reference["product"] is None or reference["product"] in PRODUCTS
            if reference["order_id"] is not None:
                assert re.fullmatch(r"[1-9]\d{4,5}", reference["order_id"])
                assert re.search(rf"(?<!\d){reference['order_id']}(?!\d)", example.message)


def test_every_value_of_every_field_is_common() -> None:
    examples = generate(4000, seed=8)
    for field, floor in (("intent", 0.09), ("product", 0.05), ("urgency", 0.2), ("sentiment", 0.2)):
        values = [example.reference[field] for example in examples]
        assert min(values.count(value) for value in set(values)) / len(values) > floor
    assert 0.2 < sum(example.reference["order_id"] is None for example in examples) / len(examples) < 0.5


def test_messages_contain_no_unfilled_slot_or_grammar_bracket() -> None:
    for split in ("train", "test"):
        for example in generate(3000, seed=12, split=split):  # type: ignore[arg-type]
            assert not re.search(r"[{}\[\]|*]|  ", example.message), example.message
            assert 5 < len(example.message) < 700


def test_near_duplicates_are_rare_within_and_across_the_splits() -> None:
    """Jaccard similarity of word pairs, over all pairs of 300 messages."""

    def pairs(text: str) -> frozenset[tuple[str, str]]:
        said = re.findall(r"\w+", text.lower())
        return frozenset(itertools.pairwise(said))

    train = [pairs(example.message) for example in generate(300, seed=1)]
    test = [pairs(example.message) for example in generate(300, seed=1, split="test")]

    def near(one: frozenset[tuple[str, str]], other: frozenset[tuple[str, str]]) -> bool:
        return len(one & other) > 0.7 * len(one | other)

    within = sum(any(near(one, other) for other in train[:index]) for index, one in enumerate(train))
    across = sum(any(near(one, other) for other in train) for one in test)
    assert within <= 3
    assert across == 0


def test_the_canonical_answer_is_compact_json_and_scores_full() -> None:
    reference = generate(1, seed=1)[0].reference
    text = answer_text(reference)
    assert (
        json.loads(text) == reference
        and list(json.loads(text)) == list(FIELDS)
        and ": " not in text
        and ", " not in text
    )
    assert all(field_accuracy(text, reference).values())
    assert len(SYSTEM.split()) < 15


def test_field_accuracy_scores_fields_apart_and_non_objects_zero() -> None:
    reference = {"intent": "refund", "product": None, "urgency": "low", "sentiment": "neutral", "order_id": "12345"}
    wrong = json.dumps({"intent": "cancel", "urgency": "low", "sentiment": "neutral", "order_id": 12345})
    assert field_accuracy(wrong, reference) == {
        "intent": False,
        "product": False,
        "urgency": True,
        "sentiment": True,
        "order_id": False,
    }
    for text in ("", "refund", "[1]", answer_text(reference) + " ok", answer_text(reference)[:-3]):
        assert not any(field_accuracy(text, reference).values())


def written(path: Path, **sizes: int) -> list[dict[str, str]]:
    write_prompts(path / "prompts.jsonl", **sizes)
    return [json.loads(line) for line in (path / "prompts.jsonl").read_text(encoding="utf-8").splitlines()]


def test_a_prompts_file_has_splits_references_and_wordings(tmp_path: Path) -> None:
    lines = written(tmp_path, train=30, test=7, unseen=4, seed=3)
    assert [line["split"] for line in lines] == ["train"] * 30 + ["test"] * 11
    assert [line["wording"] for line in lines] == ["known"] * 37 + ["unseen"] * 4
    assert all(set(line) == {"prompt", "reference", "split", "wording"} for line in lines[:37])
    assert [line["prompt"] for line in lines[:30]] == [example.message for example in generate(30, seed=3)]
    assert [(line["prompt"], line["group"]) for line in lines[37:]] == [
        (example.message, example.group) for example in generate(4, seed=3, split="test")
    ]
    assert all(set(json.loads(line["reference"])) == set(FIELDS) for line in lines)


def test_more_training_prompts_leave_the_held_out_as_they_are(tmp_path: Path) -> None:
    few, many = (written(tmp_path, train=train, test=50, unseen=20)[train:] for train in (10, 500))
    assert few == many and len(few) == 70


def test_no_held_out_message_occurs_in_training(tmp_path: Path) -> None:
    """Not even with other numbers; and by the check of curate, none that is nearly the same."""
    lines = written(tmp_path, train=1500, test=300, unseen=100)
    train, test = ([line["prompt"] for line in lines if line["split"] == split] for split in ("train", "test"))
    assert not {re.sub(r"\d", "0", text.casefold()) for text in train} & {
        re.sub(r"\d", "0", text.casefold()) for text in test
    }
    sets = shingle_sets([*train, *test])
    similarity = nearest(sets[len(train) :], sets[: len(train)]).similarity
    assert similarity.max() < 0.6  # curate counts 0.85 as the same


def test_known_wordings_use_the_training_requests(tmp_path: Path) -> None:
    """What `wording` says: of the words of known test messages nearly all are in training, of unseen ones not."""
    lines = written(tmp_path, train=2500, test=200, unseen=200)
    seen = set().union(*(words(line["prompt"]) for line in lines if line["split"] == "train"))
    strange = {
        wording: sum(
            bool(words(line["prompt"]) - seen)
            for line in lines
            if line["wording"] == wording and line["split"] == "test"
        )
        for wording in ("known", "unseen")
    }
    assert strange["unseen"] > 180 > 70 > strange["known"]  # those of the known ones are typing mistakes


def test_a_wrong_split_or_count_is_refused_in_one_paragraph() -> None:
    with pytest.raises(UserError):
        generate(-1)
    with pytest.raises(UserError):
        generate(1, split="validation")  # type: ignore[arg-type]


def test_the_stream_never_repeats_a_message() -> None:
    examples = stream(seed=1)
    drawn = [next(examples).message for _ in range(2000)]
    assert len(set(drawn)) == 2000


def test_phrases_with_choices_are_parsed_drawn_and_counted() -> None:
    rng = random.Random(0)
    assert count("a [b|c [d|e]|] f") == 4
    assert {draw(rng, "a [b|c [d|e]|] f") for _ in range(200)} == {"a b f", "a c d f", "a c e f", "a  f"}
    with pytest.raises(ValueError, match="unclosed"):
        parse("a [b|c")
