"""Which answers are trained on and which stand for held-out prompts: votes, references, refusals, several answers."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from distil.curate.choose import Grounds, choose
from distil.curate.config import CurateConfig
from distil.curate.evidence.corpus import Corpus, Pair, describe_corpus
from distil.curate.evidence.found import Found
from distil.curate.references import reference
from distil.curate.replacements import refuse_replacements
from distil.curate.stage import run
from distil.curate.votes import describe_task, groups, trust
from distil.errors import UserError
from distil.records import Answer, Example, Prompt, Verdict
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_examples, read_records
from distil.runs.schemas.evidence import Evidence
from distil.text import normalize_answer
from tests.curate.material import answer, distinct_text, project_with, prompt

TEACHERS = ("t0", "t1", "t2", "t3")


def answers_of(question: Prompt, texts: Sequence[str]) -> list[Answer]:
    return [answer(question, text, teacher=teacher) for teacher, text in zip(TEACHERS, texts, strict=False)]


def curated(
    folder: Path, rows: Sequence[tuple[Prompt, Sequence[str]]], **config: object
) -> tuple[Project, list[Example]]:
    """(project, training examples) of prompts with the answers of t0, t1, ..."""
    collected = [each for question, texts in rows for each in answers_of(question, texts)]
    project = project_with(folder, [question for question, _ in rows], collected)
    settings = {"test": 0, "validation": 0, "near_duplicates": None} | config
    run(project, CurateConfig.model_validate(settings), teachers=TEACHERS)
    return project, list(read_examples(project.split("train")))


def reasons(project: Project) -> Counter[str]:
    return Counter(verdict.filter for verdict in read_records(project.dropped, Verdict))


def facts() -> Corpus:
    return describe_corpus([])


def match(reference_text: str, text: str, *, others: Sequence[tuple[str, str]] = ()) -> float | None:
    """The value of the signal `reference` for one answer, in a task with other (reference, answer) pairs."""
    rows = [(reference_text, text), *others]
    pairs = []
    for number, (wanted, given) in enumerate(rows):
        question = prompt(distinct_text(number), reference=wanted)
        pairs.append(Pair(question, answer(question, given)))
    found = reference(pairs, facts())[0]
    return None if found is None else found.value


def test_the_majority_is_over_results_and_not_wordings(tmp_path: Path) -> None:
    solutions = [
        "Two and two are 5.\nA: 5",
        "First 2, then 2 more, so the answer is 4.",
        "2 + 2 = 4\nA: 4",
        "Two and two and one are 5 without one.\nA: 3",
    ]
    project, rows = curated(tmp_path, [(prompt("How many are two and two?"), solutions)], choose="majority")
    assert [row.teacher for row in rows] == ["t1"]
    assert all("come to 4" in verdict.reason for verdict in read_records(project.dropped, Verdict))


def test_a_tie_goes_to_whom_the_others_agree_with(tmp_path: Path) -> None:
    """The teacher listed first is the worst one; without references that shows in how often the others agree with it."""
    rows = [(prompt(distinct_text(i)), ["A: 1", f"A: {i}", f"So it is {i}.\nA: {i}"]) for i in range(2, 12)]
    tied = (prompt("the last question of all"), ["A: 1", "A: 2", "A: 3"])
    _, examples = curated(tmp_path, [*rows, tied], choose="majority")
    assert {example.teacher for example in examples} == {"t1"}


def test_open_text_gets_no_vote_and_that_is_said(tmp_path: Path) -> None:
    texts = [
        "A poem about the sea and its many moods.",
        "Verses on rivers and on what they carry along.",
        "No rhyme at all here.",
    ]
    project = project_with(tmp_path, [question := prompt("Write a poem.")], answers_of(question, texts))
    result = run(project, CurateConfig(choose="majority", test=0, validation=0), teachers=TEACHERS)
    assert [row.teacher for row in read_examples(project.split("train"))] == ["t0"]
    assert any("no vote" in warning for warning in result.warnings)


def test_agreement_of_open_text_is_in_meaning(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    texts = [
        "The parcel that you sent yesterday evening was delivered by a blue bicycle.",
        "You can reset your password in the settings of your account.",
        "Open the account settings; there is a button to choose a new password.",
        "To change the password, go to settings and then to account.",
    ]
    project, rows = curated(tmp_path, [(prompt("How do I change it?"), texts)], choose="agreement")
    assert rows[0].teacher != "t0"
    assert all("closest in meaning" in verdict.reason for verdict in read_records(project.dropped, Verdict))


def test_only_answers_that_are_the_reference_are_trained_on(tmp_path: Path) -> None:
    rows = [
        (prompt("What is 6 times 3?", reference="6 * 3 = 18\nA: 18"), ["A: 20", "It is 6 * 3, which is $18."]),
        (prompt("What is 7 times 3?", reference="21"), ["A: 20", "A: 22"]),
        (prompt("Which color has the sky?"), ["Blue.", "A: 3"]),
    ]
    project, examples = curated(tmp_path, rows, choose="reference")
    assert [(row.teacher, row.prompt_id) for row in examples] == [("t1", rows[0][0].id)]
    assert reasons(project) == {"wrong_answer": 3, "choose": 2}
    _, examples = curated(tmp_path / "best", rows, choose="best")
    assert [row.prompt_id for row in examples] == [rows[0][0].id, rows[2][0].id]


def test_a_reference_never_chooses_a_held_out_answer(tmp_path: Path) -> None:
    """Else the teacher would be right on all test prompts, and those it fails on would be missing there."""
    rows = [(prompt(distinct_text(i), reference="7"), ["A: 1", "A: 7"]) for i in range(40)]
    rows += [(prompt(distinct_text(i), reference="7"), ["A: 1", "A: 2"]) for i in range(40, 80)]
    collected = [each for question, texts in rows for each in answers_of(question, texts)]
    project = project_with(tmp_path, [question for question, _ in rows], collected)
    run(project, CurateConfig(choose="reference", test=20, near_duplicates=None), teachers=TEACHERS)
    assert all(normalize_answer(row.answer) == "a: 7" for row in read_examples(project.split("train")))
    test = list(read_examples(project.split("test")))
    assert len(test) == 20 and all(row.teacher == "t0" for row in test)
    kept = [row.answer_id for side in ("train", "validation", "test") for row in read_examples(project.split(side))]
    gone = [verdict.answer_id for verdict in read_records(project.dropped, Verdict)]
    assert sorted([*kept, *gone]) == sorted(each.id for each in collected)


def test_choosing_by_reference_needs_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no prompt has a reference"):
        curated(tmp_path, [(prompt("What is 6 times 3?"), ["A: 18", "A: 20"])], choose="reference")


@pytest.mark.parametrize(
    ("wanted", "text", "value"),
    [
        ("42", "... so there are 42 apples.", 1),
        ("42", "... so there are 41 apples.", 0),
        ('{"a": 1, "b": ["x"]}', '{"b": ["X"], "a": 1.0}', 1),
        ('{"a": 1}', '{"a": 1, "b": 2}', 0),
        ("B", "The answer is (B).", 1),
        ("B", "C) Rome", 0),
        ("It usually takes about two days.", "Two days, as a rule.", None),
        ("Paris", "The capital is Paris.", None),
        ("Paris", "paris.", 1),
    ],
)
def test_references_are_compared_by_value(wanted: str, text: str, value: float | None) -> None:
    assert match(wanted, text) == value


def test_short_references_count_where_answers_usually_are_them() -> None:
    exact = [(name, name) for name in map(distinct_text, range(3))]
    cities = [(city, city) for city in ("Rome", "Oslo", "Bern", "Kyiv", "Lima", "Doha", "Baku", "Riga", "Male", "Suva")]
    assert match("Paris", "Lyon", others=cities) == 0
    assert match("Paris", "The capital is Paris.", others=cities) is None
    assert match("Paris", "Lyon", others=exact) is None


def test_labels_are_read_from_prose() -> None:
    others = [(label, label) for label in ("lost_card", "card_arrival") * 4]
    assert match("lost_card", "The intent is lost card.", others=others) == 1
    assert match("lost_card", "The intent is card arrival.", others=others) == 0


def test_calls_are_compared_with_a_reference_of_calls() -> None:
    called = [{"type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}]
    for wanted, value in (('{"name": "f", "arguments": {"x": 1.0}}', 1), ('[{"name": "g"}]', 0), ("42", None)):
        question = prompt("Call it.", reference=wanted)
        given = answer(question, "").model_copy(update={"tool_calls": called})
        found = reference([Pair(question, given)], facts())[0]
        assert (found and found.value) == value


def test_wrong_answers_are_shown_and_dropped_on_request(tmp_path: Path) -> None:
    rows = [(prompt(distinct_text(i), reference="1"), [f"A: {1 if i else 2}"]) for i in range(6)]
    project, examples = curated(tmp_path, rows)
    evidence = list(read_records(project.evidence, Evidence))
    assert len(examples) == 6 and [row.suspicious for row in evidence].count(["wrong_answer"]) == 1
    project, examples = curated(tmp_path / "filtered", rows, filters=["default", "wrong_answer"])
    assert len(examples) == 5 and reasons(project) == {"wrong_answer": 1}


REAL = "ChatGPT is a model that writes text; people use it to draft, to summarize and to learn."
REFUSES = "I'm sorry, but I can't help with that."


def test_no_refusal_replaces_a_refusal(tmp_path: Path) -> None:
    asked = [prompt(distinct_text(i)) for i in range(4)]
    rows = [
        (asked[0], [REFUSES, "I apologize, but I do not feel comfortable giving an opinion.", REAL]),
        (asked[1], [REFUSES, "As an AI language model, I was made by Anthropic.", REFUSES]),
        (asked[2], [REAL, REFUSES, REFUSES]),
        (asked[3], [REFUSES, REAL, REFUSES]),
    ]
    _, examples = curated(tmp_path, rows, if_refused="other")
    assert {row.prompt_id: row.teacher for row in examples} == {asked[0].id: "t2", asked[2].id: "t0", asked[3].id: "t1"}
    project, examples = curated(tmp_path / "out", rows)
    assert [row.prompt_id for row in examples] == [asked[2].id]
    assert "t0 comes first and refused this prompt" in " ".join(
        v.reason for v in read_records(project.dropped, Verdict)
    )
    _, examples = curated(tmp_path / "vote", rows, choose="majority")
    assert len(examples) == 3


def test_an_answer_about_the_model_takes_nobodys_place(tmp_path: Path) -> None:
    """The first teacher's true answer about itself stays, though a later teacher names its vendor instead of answering."""
    honest = "As an AI, I do not have emotions like a human, but I am designed to process language and behavior."
    vendor = "No, I'm an AI assistant created by Anthropic to be helpful, harmless, and honest. I don't have feelings."
    _, examples = curated(tmp_path, [(prompt("Can you think and feel like a human?"), [honest, vendor, "I can."])])
    assert [(row.teacher, row.answer[:24]) for row in examples] == [("t0", "I do not have emotions l")]


def test_replacements_are_checked_though_the_filter_is_mild(tmp_path: Path) -> None:
    """A threshold that lets half a refusal pass as a first answer does not let it take the place of one."""
    half = "I can't say much about that, but the office may know more; please call them in the morning."
    signals = {"first": {"refusal": Found(1.0, "refuses")}, "second": {"refusal": Found(0.4, "can't say")}}
    asked = prompt("What do you think about it?")
    one, two = answer(asked, REFUSES, teacher="t0"), answer(asked, half, teacher="t1")
    by_id = {one.id: signals["first"], two.id: signals["second"]}
    pairs = [Pair(asked, one), Pair(asked, two)]
    refused = Verdict(answer_id=one.id, prompt_id=asked.id, filter="refusal", keep=False, reason="refuses")
    verdicts = [refused]
    assert refuse_replacements(pairs, pairs[1:], by_id, "other", verdicts) == []
    assert verdicts[1].filter == "replacement" and "can't say" in verdicts[1].reason
    assert refuse_replacements(pairs[::-1], pairs[1:], by_id, "other", [refused]) == pairs[1:]


def test_all_keeps_the_different_answers_of_training_prompts(tmp_path: Path) -> None:
    rows = [(prompt(distinct_text(i)), ["yes", "Yes.", f"no {i}"]) for i in range(30)]
    collected = [each for question, texts in rows for each in answers_of(question, texts)]
    project = project_with(tmp_path, [question for question, _ in rows], collected)
    result = run(project, CurateConfig(choose="all", test=5, near_duplicates=None), teachers=TEACHERS)
    for side, each in (("train", 2), ("validation", 1), ("test", 1)):
        counts = Counter(row.prompt_id for row in read_examples(project.split(side)))
        assert set(counts.values()) == {each}, side
    assert result.test == 5 and result.train % 2 == 0


def test_votes_are_soft_labels_of_training_prompts(tmp_path: Path) -> None:
    rows = [(prompt(distinct_text(i)), ["refund", "card", "refund"]) for i in range(30)]
    collected = [each for question, texts in rows for each in answers_of(question, texts)]
    project = project_with(tmp_path, [question for question, _ in rows], collected)
    run(project, CurateConfig(choose="votes", test=5), teachers=TEACHERS)
    of_prompt: dict[str, list[str]] = {}
    for row in read_examples(project.split("train")):
        of_prompt.setdefault(row.prompt_id, []).append(row.answer)
    assert of_prompt and all(said == ["refund", "card", "refund"] for said in of_prompt.values())
    assert Counter(row.answer for row in read_examples(project.split("test"))) == {"refund": 5}  # the majority


def test_a_judge_is_asked_about_training_answers_it_can_decide(tmp_path: Path) -> None:
    question, alone = prompt("Say something."), prompt("Say something else, please.")
    texts = ["One thing to say, and no more.", "Another thing to say, and more."]
    project = project_with(
        tmp_path, [question, alone], [*answers_of(question, texts), answer(alone, "Yes, that is fine.", teacher="t0")]
    )
    asked: list[str] = []

    def judge(pairs: Sequence[Pair]) -> list[Found | None]:
        asked.extend(pair.answer.text for pair in pairs)
        return [Found(0.2), Found(0.9)]

    config = CurateConfig(choose="judge", test=0, validation=0)
    run(project, config, judge=judge, teachers=TEACHERS)
    assert asked == texts
    assert {row.answer for row in read_examples(project.split("train"))} == {texts[1], "Yes, that is fine."}
    evidence = [row.judge.value for row in read_records(project.evidence, Evidence) if row.judge is not None]
    assert evidence == [0.2, 0.9]


def test_gsm8k_majority_and_reference(data_dir: Callable[[str], Path]) -> None:
    """The first 150 problems: the vote is at least as good as the best model although the worst is listed first."""
    path = data_dir("gsm8k/example_model_solutions.jsonl")
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()[:150]]
    models = ["6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification"]
    pairs = []
    for line in lines:
        asked = prompt(line["question"], reference=line["ground_truth"])
        pairs += [Pair(asked, answer(asked, line[model]["solution"], teacher=model)) for model in models]
    task = describe_task(pairs)
    found = {pair.answer.id: match for pair, match in zip(pairs, reference(pairs, facts()), strict=True)}
    right = {id_ for id_, match in found.items() if match is not None and match.value == 1}
    grounds = Grounds(task, trust(pairs, task), {id_: {"reference": match} for id_, match in found.items() if match})
    chosen = {
        method: [choose(method, g[0].prompt, [pair.answer for pair in g], grounds) for g in groups(pairs).values()]
        for method in ("majority", "reference")
    }
    best = max(sum(line[model]["is_correct"] for line in lines) for model in models)
    assert len(right) == sum(line[model]["is_correct"] for line in lines for model in models)
    assert sum(choice.training[0].id in right for choice in chosen["majority"]) >= best
    kept = [choice.training[0].id for choice in chosen["reference"] if choice.training]
    assert len(kept) == sum(any(line[model]["is_correct"] for model in models) for line in lines)
    assert set(kept) <= right
