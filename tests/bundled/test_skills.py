"""The general corpus: it must teach copying and reading, and must not know the bundled task."""

from __future__ import annotations

import json
import random
import re

import pytest

from distil.bundled.triage import FIELDS, PRODUCTS, SYSTEM
from distil.bundled.triage.surroundings import TABLES
from tests.bundled.phrases import content_frames
from tools.bundled_models.skills import MIX, SKILLS, Document, document
from tools.bundled_models.skills.documents import BOS, END


def drawn(name: str, n: int = 300) -> list[Document]:
    rng = random.Random(name)
    return [SKILLS[name](rng) for _ in range(n)]


def answer(doc: Document) -> str:
    return "".join(text for text, weight in doc.pieces if weight == 1.0).removesuffix(END)


def test_every_skill_is_mixed_in_and_documents_are_deterministic() -> None:
    assert set(MIX) == set(SKILLS)
    assert [document(random.Random(3)) for _ in range(2)] == [document(random.Random(3)) for _ in range(2)]


@pytest.mark.parametrize("name", sorted(SKILLS))
def test_a_document_starts_with_bos_and_ends_with_the_end_token(name: str) -> None:
    for doc in drawn(name, 50):
        assert doc.pieces[0][0].startswith(BOS) and doc.pieces[0][1] == 0.0
        assert doc.text().endswith(END)
        assert all(0 <= weight <= 1 for _, weight in doc.pieces) and any(weight > 0 for _, weight in doc.pieces)


def test_the_corpus_leaks_no_task_instruction_key_or_answer() -> None:
    rng = random.Random(0)
    text = "\n".join(document(rng).text() for _ in range(6000))
    assert SYSTEM not in text
    for field in FIELDS:
        assert f'"{field}"' not in text
    assert not re.search(r'"(low|normal|high|positive|neutral|negative|refund|billing|damaged)"', text)


def test_the_corpus_uses_no_held_out_sentence_noun_or_name() -> None:
    rng = random.Random(1)
    text = "\n".join(document(rng).text() for _ in range(6000)).lower()
    held_out = [noun.rstrip("*") for names in PRODUCTS.values() for noun in names["test"]]
    held_out += TABLES["name"]["test"] + TABLES["brand"]["test"]
    assert [phrase for phrase in held_out if phrase.lower() in text] == []
    for phrase in content_frames("test").values():
        gapped = r"[^\n]{1,60}".join(re.escape(part.lower()) for part in re.split(r"\{\w+\}", phrase))
        assert len(phrase) < 20 or not re.search(gapped, text), phrase


def test_copied_numbers_and_lines_appear_in_the_prompt() -> None:
    for name in ("echo", "lookup", "needle"):
        for doc in drawn(name):
            for piece, weight in doc.pieces:
                if weight == 1.0:
                    assert doc.text().count(piece.removesuffix(END)) >= 2, doc


def test_order_numbers_are_digits_of_the_message_or_none() -> None:
    found = 0
    for doc in drawn("order_number"):
        value = answer(doc)
        found += value != "none"
        assert value == "none" or (value.isdigit() and value in doc.text().replace(answer(doc) + END, "", 1))
    assert found > 120


def test_extracted_json_has_other_keys_and_copied_values() -> None:
    for name in ("keyed_extraction", "number_as_json"):
        for doc in drawn(name):
            record = json.loads(answer(doc))
            assert record and not set(record) & set(FIELDS)
            assert all(value is None or str(value) in doc.text() for value in record.values())


def test_random_strings_are_learned_only_where_they_repeat() -> None:
    for doc in drawn("repetition"):
        (_, _), (line, weight), (again, learned), _ = doc.pieces
        assert weight == 0.0 and learned == 1.0 and line in again
