"""Two stages that decide the same question give the same result, each through the function that it is used by."""

from __future__ import annotations

from pathlib import Path

import pytest

from distil.curate.config import CurateConfig
from distil.curate.duplicates import drop_redundant
from distil.curate.evidence.corpus import Corpus
from distil.curate.select import Pair
from distil.curate.stage import run as curate
from distil.curate.votes import count_votes, describe_task
from distil.doctor import data, leaks
from distil.doctor.evidence import Evidence
from distil.evaluate.metrics import Case, fields, form, match
from distil.records import Example, Message, Prompt
from distil.runs.artifacts import Project
from distil.runs.jsonl import write_records
from distil.serve.calibration.acceptance import Given, bad_answers, choose_rule
from distil.train.rollouts import unanswered
from tests.curate.material import answer, objection, project_with
from tests.tiny import tiny_tokenizer

CORPUS = Corpus(json_share=0.0, same_script_share=1.0, answers=100)
NFC, NFD = "caf\u00e9", "cafe\u0301"


def _pair(question: str, text: str, number: int = 0, *, finish: str = "stop") -> Pair:
    prompt = Prompt.make([Message(role="user", content=question)], group=f"g{number}" if number else None)
    return Pair(prompt, answer(prompt, text, sample=number, finish=finish))


def _calibrated_bad(text: str, target: str, goal: float | None = None) -> list[bool | None]:
    """As calibration judges a student's answer beside the teacher's."""
    prompt = Prompt.make([Message(role="user", content="question")])
    row = Example.of(prompt, answer(prompt, target), "validation")
    return bad_answers(choose_rule([row], goal=goal), [Given(row, text)], None)


SAME_ANSWER = [
    ("plain", '{"a": 1}', '{"a": 1}', True),
    ("fenced JSON", '```json\n{"a": 1}\n```', '{"a": 1}', True),
    ("fenced target", '{"a": 1}', '```\n{"a": 1}\n```', True),
    ("true and 1", '{"a": true}', '{"a": 1}', False),
    ("0 and false", '{"a": 0}', '{"a": false}', False),
    ("nested true and 1", '{"a": [true]}', '{"a": [1]}', False),
    ("1 and 1.0", '{"a": 1.0}', '{"a": 1}', True),
    ("number and text", '{"a": "1"}', '{"a": 1}', False),
    ("case", '{"a": "Refund "}', '{"a": "refund"}', True),
    ("nested case", '{"a": ["A", {"b": "C"}]}', '{"a": ["a", {"b": "c"}]}', True),
    ("an extra field", '{"a": 1, "b": 2}', '{"a": 1}', False),
    ("a missing field", '{"a": 1}', '{"a": 1, "b": 2}', False),
    ("NFC and NFD", f'{{"a": "{NFC}"}}', f'{{"a": "{NFD}"}}', True),
    ("full-width letters", '{"a": "ＯＫ"}', '{"a": "ok"}', True),
    ("JSON inside prose", 'Sure! Here it is: {"a": 1}', '{"a": 1}', False),
    ("not JSON", "a is 1", '{"a": 1}', False),
    ("NaN", '{"a": NaN}', '{"a": null}', False),
    ("an empty object", '{"a": 1}', "{}", False),
    ("label", "Card  Arrival", "card arrival", True),
    ("label, NFC and NFD", NFC, NFD, True),
    ("label, full-width", "ＯＫ", "ok", True),
    ("another label", "top up", "card arrival", False),
    ("a list", '["A", 1]', '["a",1.0]', True),
]


@pytest.mark.parametrize(
    ("answer", "target", "same"), [case[1:] for case in SAME_ANSWER], ids=[c[0] for c in SAME_ANSWER]
)
def test_the_same_answer(answer: str, target: str, same: bool) -> None:
    """Evaluation (against teacher and reference), calibration, and both places where curation compares answers."""
    case = Case("question", answer, target, target)
    assert match.exact_match([case]) == match.accuracy([case]) == [float(same)]
    shares = {share for metric in (fields.field_accuracy, fields.field_agreement) for share in metric([case])}
    assert {share == 1.0 for share in shares if share is not None} <= {same}
    assert _calibrated_bad(answer, target) == [not same]
    pairs = [_pair("question", text, number) for number, text in enumerate((answer, target))]
    assert (len(drop_redundant(pairs, None, [])) == 1) is same
    votes = count_votes(pairs[0].prompt, [pair.answer for pair in pairs], describe_task(pairs)).votes
    assert votes == [1 + same] * 2


@pytest.mark.parametrize("goal", [0.4, 0.5, 0.6, 0.7, 1.0])
@pytest.mark.parametrize("answer", ['{"a": 1, "b": "X", "c": 0}', '{"a": 1}', '{"a": 2, "b": "x"}', "prose", "{}"])
def test_the_share_of_fields_that_decides(answer: str, goal: float) -> None:
    target = '{"a": 1, "b": "x"}'
    (share,) = fields.field_agreement([Case("question", answer, target, None)])
    assert share is not None
    assert _calibrated_bad(answer, target, goal) == [share < goal]


@pytest.mark.parametrize(
    ("text", "refuses"),
    [
        ("I'm truly sorry, but I cannot", True),
        ("I'm sorry, but I can't.", True),
        ("I won't do that.", True),
        ("As a large language model I have no taste.", True),
        ("As an AI engineer you will need Python.", False),
        ("I'm sorry, but your parcel is late.", False),
        ("fine", False),
    ],
)
def test_a_refusal(text: str, refuses: bool, tmp_path: Path) -> None:
    """Curation's filter and the doctor's check."""
    pair = _pair("question", text)
    assert (objection("refusal", *pair, CORPUS) is not None) is refuses
    project = Project(tmp_path)
    write_records(project.split("train"), [Example.of(*pair, "train")])
    assert data.refusals(Evidence(project)).seen.startswith(f"{int(refuses)} of 1 ")


@pytest.mark.parametrize(
    ("reason", "cut"), [("length", True), ("max_tokens", True), ("stop", False), ("tool_calls", False)]
)
def test_a_cut_off_answer(reason: str, cut: bool, tmp_path: Path) -> None:
    """Curation's filter, evaluation's metric and the doctor's check."""
    pair = _pair("question", "and then", finish=reason)
    assert (objection("truncated", *pair, CORPUS) is not None) is cut
    assert form.truncated([Case("question", "and then", None, None, reason)]) == [float(cut)]
    project = Project(tmp_path)
    write_records(project.answers, [pair.answer])
    assert data.truncated_answers(Evidence(project)).seen.startswith(f"{int(cut)} of 1 ")


SYSTEM, DEVELOPER = (Message(role=role, content=f"Be brief, {role}.") for role in ("system", "developer"))


def _user(text: str) -> Message:
    return Message(role="user", content=text)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ([_user("What is new?")], [_user("what  is NEW?")], True),
        ([_user("Is it new?")], [SYSTEM, _user("Is it new?")], True),
        ([SYSTEM, _user("Is it new?")], [DEVELOPER, _user("Is it new?")], True),
        ([_user(f"Where is the {NFC}?")], [_user(f"Where is the {NFD}?")], True),
        ([_user("Is it ＯＫ?")], [_user("is it ok?")], True),
        ([_user("Is it ok?")], [_user("Is it not ok?")], False),
    ],
)
def test_the_same_prompt(one: list[Message], other: list[Message], same: bool, tmp_path: Path) -> None:
    """Curation drops a training prompt that is also a test prompt, the doctor counts it, and training does not roll it out."""
    held_out, free = Prompt.make(one, split="test"), Prompt.make([*other], response_format={"type": "text"})
    project = project_with(tmp_path, [held_out, free], [answer(prompt, "yes") for prompt in (held_out, free)])
    result = curate(project, CurateConfig(near_duplicates=None, validation=0.0))
    assert result.dropped == ({"leak": 1} if same else {}) and result.test == 1

    write_records(project.split("train"), [Example.of(free, answer(free, "yes"), "train")])
    assert leaks.leakage(Evidence(project)).seen.startswith(f"{int(same)} of 1 ")
    write_records(project.answers, [answer(held_out, "yes")])
    assert len(unanswered(project, tiny_tokenizer(), None)) == 1 - same
