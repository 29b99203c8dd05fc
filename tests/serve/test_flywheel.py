"""From the gateway back into the project: captured requests become prompts, and their answers are never paid for again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from distil.cli.collect import command
from distil.collect.gateway import take_answers
from distil.config import load_config
from distil.errors import UserError
from distil.prompts.config import PromptsConfig
from distil.prompts.gateway import take_captured
from distil.prompts.stage import run as load_prompts
from distil.records import Answer, Prompt
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_records
from distil.runs.schemas.gateway_prompts import read_gateway_prompts
from distil.stage_states import step_state
from tests.serve.running import StudentServer, chat_body, teacher_of
from tests.serve.test_gateway import exchange, gateway_of, teacher_server
from tests.wire.openai import OpenAIServer

OWN = ("Where is order 1?", "Where is order 2?")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps({"prompt": text}) + "\n" for text in OWN))
    return Project(tmp_path)


def configure(project: Project, teacher: OpenAIServer) -> list[str]:
    """The options of `distil collect` for this project and teacher."""
    model = {"model": f"{teacher.url}#{teacher.models[0]}", "price": {"input": 1.0, "output": 2.0}}
    project.config.write_text(json.dumps({"prompts": {"path": "prompts.jsonl"}, "teachers": [model]}))
    return ["--project", str(project.root), "--from-gateway", "--json"]


def fall_back(project: Project, teacher: OpenAIServer, *bodies: dict[str, Any], **serve: Any) -> None:
    """Each request goes through a gateway that asks the teacher."""
    with StudentServer() as student:
        section = {"fallback": "threshold", "threshold": 0.8} | serve
        exchange(gateway_of(project.root, student, teacher, **section), *bodies)


def test_21_captured_prompts_cost_nothing_to_collect(project: Project) -> None:
    """Nine clients had named max_tokens: their answers were paid for twice."""
    bodies = [chat_body(f"p=0.3 question {n}", **({"max_tokens": 60} if n % 7 < 3 else {})) for n in range(21)]
    with teacher_server() as teacher:
        fall_back(project, teacher, *bodies, bodies[0])
        options = configure(project, teacher)
        paid = len(teacher.answered)
        ran = CliRunner().invoke(command, options, catch_exceptions=False)
        assert ran.exit_code == 0, ran.output
        asked_again = [body["messages"][-1]["content"] for body in teacher.answered[paid:]]
    assert paid == 21 and sorted(asked_again) == sorted(OWN)
    prompts = list(read_records(project.prompts, Prompt))
    assert len(prompts) == 23 and [p.messages[0].text for p in prompts[:2]] == list(OWN)
    assert {p.fields.get("source") for p in prompts} == {None, "gateway"}
    answers = list(read_records(project.answers, Answer))
    assert len(answers) == 23 and {a.text for a in answers} == {"the teacher's answer"}


def test_an_interrupted_take_leaves_no_prompts_out(project: Project) -> None:
    """The captured requests were noted as read, and the prompts were never loaded again."""
    with teacher_server() as teacher:
        fall_back(project, teacher, chat_body("p=0.3 one"))
        options, config = configure(project, teacher), load_config(project)
        load_prompts(project, config.prompts)
        assert step_state(project, config, "prompts").state == "done"
        assert take_captured(project).taken == 1
        assert "captured are not among them yet" in step_state(project, config, "prompts").why
        ran = CliRunner().invoke(command, options, catch_exceptions=False)
        assert ran.exit_code == 0 and len(list(read_records(project.prompts, Prompt))) == 3
        assert step_state(project, config, "prompts").state == "done"


def test_captured_requests_are_read_once(project: Project) -> None:
    with teacher_server() as teacher:
        fall_back(project, teacher, chat_body("p=0.3 one"), chat_body("p=0.3 two"))
        first = take_captured(project)
        fall_back(project, teacher, chat_body("p=0.3 two"), chat_body("p=0.3 three"))
        with project.captured.open("a") as file:
            file.write('{"messages": [{"role": "us')  # a gateway is writing
        second, third = take_captured(project), take_captured(project)
    assert (first.read, first.taken, first.prompts) == (2, 2, 2)
    assert (second.read, second.taken, second.prompts) == (2, 1, 3)
    assert (third.read, third.taken) == (0, 0)
    project.captured.unlink()
    with teacher_server() as teacher:  # another file: it is read from its beginning
        fall_back(project, teacher, chat_body("p=0.3 four"))
    assert take_captured(project).taken == 1


def test_loading_the_prompts_keeps_those_of_the_gateway(project: Project) -> None:
    with teacher_server() as teacher:
        fall_back(project, teacher, chat_body("p=0.3 one"), chat_body(OWN[0]), chat_body("p=0.3 one", temperature=0.2))
    with pytest.raises(UserError, match="captured nothing"):
        take_captured(Project(project.root / "other"))
    take_captured(project)
    result = load_prompts(project, PromptsConfig())
    assert (result.read, result.prompts, result.duplicates, result.gateway, result.fixed_split) == (2, 3, 0, 1, 0)
    mine, _, taken = read_records(project.prompts, Prompt)
    assert mine.split is None and mine.fields == {} and taken.split == "train"


def test_answers_that_are_not_the_teachers_best_are_left(project: Project) -> None:
    """Cut off, ended by the client's stop words, hotter than the teacher's own, or of another model."""
    with teacher_server() as teacher:
        hot, stopped = chat_body("p=0.3 a", temperature=1.5), chat_body("p=0.3 b", stop=["."])
        fall_back(project, teacher, hot, stopped, fallback="always")
        teacher.finish_reason = "length"
        fall_back(project, teacher, chat_body("p=0.3 c", max_tokens=3))
        take_captured(project)
        found = take_answers(project, [teacher_of(teacher)], 1)
        assert found.copied == 0 and sum(found.left_out.values()) == 3
        assert set(found.left_out) == {
            "sampled at a temperature above 1",
            "ended by the client's stop words",
            "cut off or withheld",
        }
        other = teacher_of(teacher).model_copy(update={"model": "openai/gpt-4o-mini"})
        assert take_answers(project, [other], 1).left_out == {"of a model that is not among the teachers now": 3}


def test_repeated_answers_become_samples(project: Project) -> None:
    with teacher_server() as teacher:
        fall_back(project, teacher, *(chat_body("p=0.3 x", max_tokens=n) for n in (50, 60, 70)))
        take_captured(project)
        first = take_answers(project, [teacher_of(teacher)], 2)
        again = take_answers(project, [teacher_of(teacher)], 2)
    assert (first.copied, first.known) == (2, 0) and (again.copied, again.known) == (0, 2)


def test_odd_captured_lines_are_counted_not_fatal(project: Project) -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    lines = [
        {"messages": [{"role": "user", "content": [image]}], "captured": {}},
        {"messages": []},
        {
            "messages": [{"role": "user", "content": "fine"}],
            "captured": {"probability": "no", "sampling": 3, "call": 7},
        },
        [1],
    ]
    project.captured.parent.mkdir(parents=True)
    project.captured.write_text("".join(json.dumps(line) + "\n" for line in lines) + "\n{broken\n")
    taken = take_captured(project)
    assert taken.taken == 1 and taken.unusable == taken.read - 1 and len(taken.examples) == 3
    (one,) = read_gateway_prompts(project.gateway_prompts)
    assert one.prompt.split == "train" and one.sampling == {} and one.call_id == ""


def test_a_fair_share_of_the_captured_may_be_tested_on(project: Project) -> None:
    """Fallbacks are all captured, audits at 4% and 2%: kept at 2% alike, they are a fair sample."""
    lines = []
    for probability, count in ((1.0, 1_000), (0.04, 40), (0.02, 20)):
        for number in range(count):
            asked = [{"role": "user", "content": f"{probability} {number}"}]
            captured = {"probability": probability, "share": 0.02, "id": str(probability)}
            lines.append(json.dumps({"messages": asked, "captured": captured}) + "\n")
    project.captured.parent.mkdir(parents=True)
    project.captured.write_text("".join(lines))
    take_captured(project)
    fair = [one.request_id for one in read_gateway_prompts(project.gateway_prompts) if one.prompt.split is None]
    assert 8 <= fair.count("1.0") <= 34 and 10 <= fair.count("0.04") <= 30 and fair.count("0.02") == 20
