"""Constrained answers follow their schema whatever the model would say; what the library can't enforce has no constraint."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import pytest
import torch

from distil.json_schema import fault_of, requirement_of
from distil.models.continuous.loop import StepLoop
from distil.models.continuous.row import Row
from distil.models.grammar import Grammars
from distil.models.load import Loaded, load, stop_ids
from distil.records import Sampling
from tests.tiny import tiny_model, tiny_tokenizer

TICKET = {
    "type": "object",
    "properties": {
        "intent": {"enum": ["refund", "where is it"]},
        "items": {
            "type": "array",
            "items": {"type": "integer", "minimum": 1, "maximum": 20},
            "minItems": 1,
            "maxItems": 3,
        },
        "urgent": {"type": "boolean"},
    },
    "required": ["intent", "items", "urgent"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def tiny() -> Loaded:
    """With more ids than its tokenizer has, as padded vocabularies do."""
    return Loaded(tiny_model(vocab_size=384), tiny_tokenizer(), "tiny", torch.device("cpu"))


def answers(loaded: Loaded, formats: list[dict[str, Any]], *, temperature: float = 1.0, tokens: int = 200) -> list[str]:
    grammars = Grammars(loaded.tokenizer, stop_ids(loaded.model, loaded.tokenizer))

    async def go() -> list[str]:
        loop = StepLoop(loaded, size=16, capacity=99, prefix_bytes=0)
        loop.start()
        rows = []
        for seed, wanted in enumerate(formats):
            constraint = grammars.constraint(requirement_of(wanted))
            assert constraint is not None
            sampling = Sampling(temperature=temperature, max_tokens=tokens, seed=seed)
            rows.append(Row([9, 10, 11 + seed], sampling, tokens, constraint=constraint))
        found = await asyncio.gather(*map(loop.submit, rows))
        await asyncio.to_thread(loop.stop)
        assert all(generation.finish_reason == "stop" for generation in found)
        return [generation.text for generation in found]

    return asyncio.run(go())


def test_random_models_answer_by_the_schema(tiny: Loaded) -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "ticket", "strict": True, "schema": TICKET}}
    for text in answers(tiny, [wanted] * 8):
        assert fault_of(TICKET, json.loads(text)) is None


def test_choices_and_expressions_are_enforced(tiny: Loaded) -> None:
    choices = ["ja", "nein", 'mit "Anführung"\n']
    found = answers(tiny, [{"choice": choices}] * 4 + [{"type": "regex", "pattern": r"[A-C]{2}-\d+(kg|m)"}] * 4)
    assert set(found[:4]) <= set(choices)
    assert all(re.fullmatch(r"[A-C]{2}-\d+(kg|m)", text) for text in found[4:])


def test_the_bundled_student_answers_by_another_schema() -> None:
    """One that it was never trained on, greedily."""
    schema = {
        "type": "object",
        "properties": {"answer": {"enum": [1, 2]}},
        "required": ["answer"],
        "additionalProperties": False,
    }
    (text,) = answers(load("bundled/student", device="cpu"), [{"type": "json_object", "schema": schema}], temperature=0)
    assert json.loads(text)["answer"] in (1, 2)


@pytest.mark.parametrize(
    "schema",
    [{"not": {"type": "string"}}, {"type": "array", "uniqueItems": True}, {"$ref": "#/nowhere"}, {"type": "wat"}],
)
def test_what_cannot_be_enforced_has_no_constraint(tiny: Loaded, schema: dict[str, Any]) -> None:
    grammars = Grammars(tiny.tokenizer, {2})
    assert grammars.constraint(requirement_of({"type": "json_schema", "json_schema": {"schema": schema}})) is None
    assert grammars.constraint(requirement_of({"type": "regex", "pattern": "(?=a)b("})) is None
    assert grammars.constraint(requirement_of({"type": "text"})) is None
