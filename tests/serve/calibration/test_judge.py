"""Calibration by a judge over a real wire on loopback: both orders, a rubric, paid once, the cap, and judges worth nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from distil.calls.config import Price, TeacherConfig
from distil.calls.ledger.store import Ledger
from distil.config import calibration_judge, parse_config
from distil.errors import BudgetReached, Interrupted, UserError, WorkFailed
from distil.judging.asking import Asked
from distil.judging.settings import Settings
from distil.records import Example, Message, Prediction
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_examples, read_records, write_records
from distil.runs.manifest import read_manifest
from distil.runs.schemas.attempts import read_attempts
from distil.serve.calibration import calibrate
from distil.serve.calibration import judge as judging
from distil.serve.calibration.acceptance import Given, bad_answers, choose_rule
from distil.serve.calibration.judge import Judge
from distil.serve.certificate.depends import Subject, void
from distil.serve.config import ServeConfig
from distil.serve.live.label import measure_of
from tests.serve.calibration.test_calibrate import project_with
from tests.serve.running import StudentServer
from tests.wire.openai import SERVER_ERROR, OpenAIServer

WRONG = "something else entirely"
"""What the teacher says where the student is wrong."""
PROSE = "It usually takes {} days, and we write to you as soon as the parcel has left our house."
Says = Callable[[dict[str, Any]], str]


def asked(body: dict[str, Any]) -> str:
    return str(body["messages"][-1]["content"])


def verdict(better: str) -> str:
    return json.dumps({"reason": "x", "better": better})


def prefers(body: dict[str, Any]) -> str:
    """The teacher's answer where the student is wrong, else a tie."""
    if WRONG not in asked(body):
        return verdict("tie")
    return verdict("A" if WRONG in asked(body).split("<answer_B")[0] else "B")


def settings_of(server: OpenAIServer, **changes: Any) -> Settings:
    options: dict[str, Any] = {"price": Price(input=1.0, output=1.0), "attempts": 1} | changes
    return Settings(TeacherConfig(model=f"{server.url}#gpt-4o-mini", **options))


def example(answer: str, number: int = 0) -> Example:
    said = [Message(role="user", content=f"How long, {number}?"), Message(role="assistant", content=answer)]
    name = f"{answer} {number}"
    return Example(id=name, prompt_id=name, answer_id="a", messages=said, split="validation")


GIVEN = [Given(example(WRONG if i % 4 == 0 else f"in other words {i}", i), f"the student {i}") for i in range(24)]
BAD = [i % 4 == 0 for i in range(24)]


def labels(
    folder: Path, settings: Settings, budget_usd: float | None = 5.0, given: list[Given] = GIVEN
) -> list[bool | None]:
    judge = Judge(folder / "ledger.sqlite", settings, budget_usd)
    judge.check([one.example for one in given])
    judge.ask(given)
    return bad_answers(judge.rule, given, None)


def test_a_promise_by_a_judge_from_files_to_audits(tmp_path: Path) -> None:
    """What bad means is in the promise, the second time is free, and another judge or rubric voids it."""
    project = project_with(tmp_path, labeled=60, held_out=20)
    for split in ("validation", "test"):  # good answers are worded in another way: each has to be judged
        rows = [row if row.answer == WRONG else reworded(row) for row in read_examples(project.split(split))]
        write_records(project.split(split), rows)
    with OpenAIServer(key=None, answer=prefers) as server, StudentServer() as student:
        judge = settings_of(server)
        section = ServeConfig(engine=f"{student.url}#student", risk=0.3, bad="judge", judge_budget_usd=5.0)
        made = calibrate.run(project, section, name="s", judge=judge)
        manifest = read_manifest(project, "serve", "s")
        again = calibrate.run(project, section, name="s", judge=judge)
        assert len(server.answered) == 160
    model = judge.judge.model
    assert made.threshold is not None and made.threshold < 0.6 and made.bad_by == "judge"
    assert f"(the judge {model} prefers the teacher's answer in both orders)" in made.promise
    assert ("judge", f"{model} was asked about 80 of 80 answers") in made.rows()
    assert made.test is not None and made.test.prompts == 20 and made.frontier_prompts == 20
    assert again.threshold == made.threshold and again.attempt == made.attempt == 1
    with Ledger(project.ledger) as ledger:
        assert {total.purpose for total in ledger.totals()} == {"judge"}
        assert manifest is not None and manifest.usd == pytest.approx(ledger.spent("judge"))
    voids(project, section, judge)
    labeled = list(read_examples(project.split("validation")))
    predictions = list(read_records(project.calibration_predictions("s"), Prediction))
    measure = measure_of(again, labeled, predictions, lambda a, b: [1.0] * len(a))
    assert measure.rule.by != "judge" and "found with a judge, which audits do not ask" in measure.note


def reworded(row: Example) -> Example:
    answer = Message(role="assistant", content=f"in other words: {row.answer}")
    return row.model_copy(update={"messages": [row.messages[0], answer]})


def voids(project: Project, section: ServeConfig, judge: Settings) -> None:
    from distil.serve.stage import read_calibration

    made = read_calibration(project, "s")
    other = judge._replace(judge=judge.judge.model_copy(update={"model": "openai/gpt-5"}))
    for now, said in ((judge, None), (other, "is openai/gpt-5 "), (judge._replace(mode="rubric"), "or its rubric was")):
        why = void(made, Subject(project, "s", section, judge=now))
        assert why is None if said is None else why is not None and said in why
    found_by = section.model_copy(update={"bad": "auto"})
    assert void(made, Subject(project, "s", found_by, judge=judge)) is None


def test_both_orders_have_to_say_so(tmp_path: Path) -> None:
    """In one order only it is no more than a preference for a place."""

    def once(body: dict[str, Any]) -> str:
        if "How long, 4?" in asked(body):
            return verdict("B")
        return prefers(body)

    with OpenAIServer(key=None, answer=once) as server:
        assert labels(tmp_path, settings_of(server)) == [bad and i != 4 for i, bad in enumerate(BAD)]
        labels(tmp_path, settings_of(server))
        assert len(server.answered) == 48


def test_nobody_is_asked_where_it_is_plain(tmp_path: Path) -> None:
    same = Given(example("Two days."), "two days")
    cut, empty = Given(example("Two days."), "Two", whole=False), Given(example("Two days."), " ")
    with OpenAIServer(key=None, answer=prefers) as server:
        for one, bad in ((same, False), (cut, True), (empty, True)):
            judge = Judge(tmp_path / "ledger.sqlite", settings_of(server), 5.0)
            judge.ask([one])
            assert bad_answers(judge.rule, [one], None) == [bad]
        assert not server.posts()


def test_a_rubric_is_asked_about_the_student_alone(tmp_path: Path) -> None:
    def scores(body: dict[str, Any]) -> str:
        assert WRONG not in asked(body) and "in other words" not in asked(body)
        number = int(asked(body).split("the student ")[1].split()[0])
        good = number % 4 != 0
        return json.dumps({"reason": "x", "score": 4 if good else 3, "met": [good, True]})

    with OpenAIServer(key=None, answer=scores) as server:
        one = settings_of(server)._replace(mode="rubric")
        two = one._replace(rubric=("Is it kind?", "Is it brief?"))
        assert labels(tmp_path, one) == labels(tmp_path, two) == BAD
        assert len(server.answered) == 48
        told = [Judge(tmp_path, each, 5.0).rule.sentence() for each in (one, two)]
    assert told[0].endswith("scores it below 4 of 5 by the rubric")
    assert told[1].endswith("finds that it meets under 100% of the 2 criteria")


@pytest.mark.parametrize(
    ("answer", "mode", "said"),
    [
        (
            lambda body: verdict("A"),
            "pairwise",
            "the judge always names the answer shown first, so its verdicts say nothing",
        ),
        (lambda body: verdict("tie"), "pairwise", "the judge calls every pair a tie"),
        (
            lambda body: "Both are fine, I think.",
            "pairwise",
            "a verdict on 0 of 24 answers, the other replies could not",
        ),
        (lambda body: '{"score": 5}', "rubric", "the judge gives every answer the same score"),
    ],
)
def test_a_judge_that_says_nothing_labels_nothing(tmp_path: Path, answer: Says, mode: Any, said: str) -> None:
    with OpenAIServer(key=None, answer=answer) as server, pytest.raises(UserError, match=said):
        labels(tmp_path, settings_of(server)._replace(mode=mode))


def test_an_answer_without_a_verdict_is_bad(tmp_path: Path) -> None:
    def sometimes(body: dict[str, Any]) -> str:
        return "No idea." if "How long, 5?" in asked(body) else prefers(body)

    with OpenAIServer(key=None, answer=sometimes) as server:
        judge = Judge(tmp_path / "ledger.sqlite", settings_of(server), 5.0)
        judge.ask(GIVEN)
    assert bad_answers(judge.rule, GIVEN, None) == [bad or i == 5 for i, bad in enumerate(BAD)]
    assert judge.note.endswith("24 of 24 answers; 1 of them got no verdict that could be read, and count as bad")


def test_the_cap_ends_it_and_what_was_answered_is_kept(tmp_path: Path) -> None:
    with OpenAIServer(key=None, answer=prefers) as server:
        with pytest.raises(BudgetReached, match=r"Nothing is certified.*--set serve\.judge_budget_usd=") as raised:
            labels(tmp_path, settings_of(server), 0.004, GIVEN[:12])
        assert raised.value.exit_code == 3 and 0 < len(server.answered) < 24
        assert labels(tmp_path, settings_of(server), 5.0, GIVEN[:12]) == BAD[:12]
        assert len(server.answered) == 24


def test_without_a_cap_it_says_what_it_would_cost(tmp_path: Path) -> None:
    with OpenAIServer(key=None, answer=prefers) as server:
        with pytest.raises(UserError, match="prompts \\(labels and test\\)") as raised:
            labels(tmp_path, settings_of(server), None)
        assert not server.posts()
        words = ("costs about $", "judge_budget_usd=")
        usd, typed = (float(str(raised.value).split(word)[1].split()[0].rstrip(".")) for word in words)
        assert labels(tmp_path, settings_of(server), typed) == BAD
        with Ledger(tmp_path / "ledger.sqlite") as ledger:
            assert ledger.spent("judge") / 2 < usd < 2 * ledger.spent("judge")
        assert labels(tmp_path / "free", settings_of(server, price=Price(input=0, output=0)), None) == BAD


def test_a_judge_that_cannot_be_asked_stops_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with OpenAIServer(key=None) as server:
        server.trouble_for = lambda seen: SERVER_ERROR
        with pytest.raises(WorkFailed, match=r"Nothing is certified: the judge .* failed on its first 3 questions"):
            labels(tmp_path, settings_of(server))
        with pytest.raises(UserError, match=r"price of .* is unknown"):
            labels(tmp_path, settings_of(server, price=None))
        ended = Asked([None] * 48, 0.0, "gone", WorkFailed("The account is empty."))
        monkeypatch.setattr(judging, "ask", lambda *_: ended)
        with pytest.raises(WorkFailed, match="The account is empty"):
            labels(tmp_path, settings_of(server))
        monkeypatch.setattr(judging, "ask", interrupted)
        with pytest.raises(Interrupted):
            labels(tmp_path, settings_of(server))


def interrupted(*_: object) -> Asked:
    raise Interrupted("Stopped.")


def test_nothing_is_tested_when_the_judge_gives_up(tmp_path: Path) -> None:
    project = project_with(tmp_path, labeled=20, held_out=4)
    with OpenAIServer(key=None, answer=lambda body: verdict("A")) as server, StudentServer() as student:
        section = ServeConfig(engine=f"{student.url}#student", bad="judge", judge_budget_usd=5.0)
        with pytest.raises(UserError, match="Nothing is certified by the judge"):
            calibrate.run(project, section, name="s", judge=settings_of(server))
        with pytest.raises(UserError, match=r"serve\.bad is judge, but there is no judge.*evaluate: \{judge"):
            calibrate.run(project, section, name="s")
        count = len(server.posts())
        unpaid = section.model_copy(update={"bad": "auto", "judge_budget_usd": None})
        assert calibrate.run(project, unpaid, name="s", judge=settings_of(server)).bad_by != "judge"
        assert len(server.posts()) == count
    assert len(read_attempts(project.attempts)) == 1


def test_auto_takes_it_for_prose_only(tmp_path: Path) -> None:
    judge = Judge(tmp_path / "ledger.sqlite", Settings(TeacherConfig(model="openai/gpt-5")), 1.0).rule
    prose, numbers = ([example(text.format(i)) for i in range(9)] for text in (PROSE, "{}"))
    assert choose_rule(prose, judge=judge).by == "judge" and choose_rule(prose).by == "similarity"
    assert choose_rule(numbers, judge=judge).by == "fields"
    assert choose_rule(prose, "similarity", judge=judge).by == "similarity"


def test_which_judge_is_asked() -> None:
    """serve.judge, else that of the evaluation, with its mode and rubric."""
    data = {"prompts": {"path": "p.jsonl"}, "teachers": [{"model": "recorded/a.jsonl"}]}
    own, other = {"model": "openai/gpt-5"}, {"model": "anthropic/claude-sonnet-4-5"}
    scored = {"judge": other, "judge_mode": "rubric", "judge_rubric": "Is it kind?"}
    assert calibration_judge(parse_config(data, "test")) is None
    for more, expected in (
        ({"evaluate": {"judge": other}}, (other["model"], "pairwise")),
        ({"evaluate": scored, "serve": {"judge": own}}, (own["model"], "rubric")),
    ):
        found = calibration_judge(parse_config(data | more, "test"))
        assert found is not None and (found.judge.model, found.mode) == expected
