"""`distil collect --pilot`: how good is the teacher, before the rest is paid for?"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable

import pytest
from click.testing import CliRunner

from distil import pilot
from distil.calls.config import TeacherConfig
from distil.cli.main import cli
from distil.collect import stage
from distil.collect.config import CollectConfig
from distil.errors import UserError
from distil.records import Answer, Message, Prompt
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_records, write_records
from distil.runs.manifest import read_manifest
from tests.wire.openai import OpenAIServer, last_words

Make = Callable[..., TeacherConfig]
LABELS = ("refund", "delivery")


def labelled(project: Project, count: int) -> None:
    """question N, which is a refund where N is even."""
    write_records(
        project.prompts,
        [Prompt.make([Message(role="user", content=f"question {n}")], reference=LABELS[n % 2]) for n in range(count)],
    )


def number(body: dict[str, object]) -> int:
    return int(last_words(body).split()[-1])


def test_a_teacher_is_measured_on_the_references(project: Project, server: OpenAIServer, teacher: Make) -> None:
    """Right on half of the labels: the interval ends below 0.6 with 60 prompts, so the prompt comes first."""
    labelled(project, 200)
    server.answer = lambda body: "refund"
    (found,) = pilot.run(project, CollectConfig(), [teacher()], 100)
    assert found.measured_on == "references" and found.prompts == found.compared == 100
    assert found.share == found.agree / 100 and found.low is not None and found.high is not None
    assert found.low < found.share < found.high < 0.63 and len(found.differences) == 3
    assert all(case.expected == "delivery" and case.answer == "refund" for case in found.differences)
    assert len(server.answered) == 100


def test_what_was_asked_is_not_paid_again(project: Project, server: OpenAIServer, teacher: Make) -> None:
    labelled(project, 40)
    server.answer = lambda body: LABELS[number(body) % 2]
    (found,) = pilot.run(project, CollectConfig(), [teacher()], 20)
    assert found.share == 1 and "Collect the rest" in found.advice
    assert len(list(read_records(project.answers, Answer))) == 20
    assert pilot.run(project, CollectConfig(), [teacher()], 20) == [found] and len(server.answered) == 20
    manifest = read_manifest(project, "collect")
    assert manifest is not None and manifest.config["limit"] == 20  # so that the stage does not count as done
    whole = stage.run(project, CollectConfig(), [teacher()])
    assert whole.new == 20 and whole.answers == 40 and len(server.answered) == 40
    assert (
        pilot.run(project, CollectConfig(), [teacher()], 20) == [found]
        and read_manifest(project, "collect") != manifest
    )


def test_without_references_it_is_asked_twice(project: Project, server: OpenAIServer, teacher: Make) -> None:
    turn = itertools.count()
    server.answer = lambda body: LABELS[next(turn) % 2]  # another label each time, whatever is asked
    (found,) = pilot.run(project, CollectConfig(), [teacher(limits={"concurrency": 1})], 12)
    assert found.measured_on == "itself" and found.compared == 12 and len(server.answered) == 24
    assert found.share is not None and found.share < 0.6
    assert "its own second answer" in found.advice


def test_open_answers_are_not_counted_as_wrong(project: Project, server: OpenAIServer, teacher: Make) -> None:
    turn = itertools.count()
    server.answer = lambda body: f"It takes about two days, and more where the road is long ({next(turn)} told me so)."
    (found,) = pilot.run(project, CollectConfig(), [teacher()], 12)
    assert found.share is None and "can't be compared by value" in found.advice


def test_test_prompts_are_asked_last(project: Project, server: OpenAIServer, teacher: Make) -> None:
    prompts = [
        Prompt.make(
            [Message(role="user", content=f"question {n}")], reference="refund", split="test" if n < 30 else None
        )
        for n in range(50)
    ]
    write_records(project.prompts, prompts)
    server.answer = lambda body: "refund"
    pilot.run(project, CollectConfig(), [teacher()], 20)
    assert all(int(body["messages"][-1]["content"].split()[-1]) >= 30 for body in server.answered)


def test_a_poor_teacher_is_named_on_the_command_line(project: Project, server: OpenAIServer, teacher: Make) -> None:
    labelled(project, 80)
    server.answer = lambda body: "refund" if number(body) % 4 == 0 else "nothing \x1b[31mof that"
    config = {
        "prompts": {"path": "prompts.jsonl"},
        "teachers": [teacher().model_dump(mode="json", exclude_defaults=True)],
    }
    project.config.write_text(json.dumps(config))
    (project.root / "prompts.jsonl").write_text(
        "\n".join(json.dumps({"prompt": f"question {n}", "reference": LABELS[n % 2]}) for n in range(80)) + "\n"
    )
    ran = CliRunner().invoke(cli, ["collect", "--pilot", "60", "--project", str(project.root)])
    assert ran.exit_code == 0, ran.output
    assert "Your teacher reaches 0." in ran.output and "change the prompt" in " ".join(ran.output.split())
    assert "\x1b" not in ran.output
    as_json = CliRunner().invoke(cli, ["collect", "--pilot", "60", "--json", "--project", str(project.root)])
    assert json.loads(as_json.stdout)[0]["measured_on"] == "references"
    both = CliRunner().invoke(cli, ["collect", "--pilot", "60", "--limit", "5", "--project", str(project.root)])
    assert isinstance(both.exception, UserError) and "leave out the other options" in str(both.exception)


def test_without_prompts_it_says_what_to_type(project: Project, teacher: Make) -> None:
    project.prompts.unlink()
    with pytest.raises(UserError, match="distil prompts load"):
        pilot.run(project, CollectConfig(), [teacher()], 20)


def test_one_repeated_open_answer_proves_nothing(project: Project, server: OpenAIServer, teacher: Make) -> None:
    said = itertools.count()
    server.answer = lambda body: (
        "It takes about two days in the city, and more where the road is long."
        if number(body) == 0
        else f"It takes about two days, and more where the road is long ({next(said)} told me so)."
    )
    (found,) = pilot.run(project, CollectConfig(), [teacher()], 12)
    assert found.share is None


def test_one_model_asked_in_two_ways_is_two_teachers(project: Project, server: OpenAIServer, teacher: Make) -> None:
    labelled(project, 20)
    server.answer = lambda body: "refund" if body.get("temperature") == 0.5 else LABELS[number(body) % 2]
    ways = [teacher(sampling={"temperature": t, "max_tokens": 50}) for t in (0.5, 1.0)]
    poor, good = pilot.run(project, CollectConfig(), ways, 20)
    assert good.share == 1 and poor.share == 0.5


def test_a_log_that_nobody_checked_judges_no_teacher(project: Project, server: OpenAIServer, teacher: Make) -> None:
    """Half of the log's labels are not the teacher's, which always says the same: that may be the log's fault."""
    labelled(project, 80)
    server.answer = lambda body: "refund"
    (found,) = pilot.run(project, CollectConfig(), [teacher()], 40, unchecked=True)
    assert (found.measured_on, found.share, found.differences) == ("itself", 1.0, [])
    assert "Good enough to learn from" in found.advice and len(server.answered) == 80
    assert found.log is not None and found.log.compared == 40 and 0.3 < (found.log.share or 0) < 0.7
    assert "nobody checked them, so either may be wrong" in dict(found.rows())["agrees with the log's labels"]


def test_a_committee_calls_the_log_unchecked(project: Project, server: OpenAIServer, teacher: Make) -> None:
    server.answer = lambda body: "refund"
    config = {
        "prompts": {"path": "prompts.jsonl"},
        "teachers": [teacher().model_dump(mode="json", exclude_defaults=True)],
        "curate": {"choose": "committee"},
    }
    project.config.write_text(json.dumps(config))
    rows = [{"prompt": f"question {n}", "reference": LABELS[n % 2]} for n in range(24)]
    (project.root / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for options, measured_on in (([], "itself"), (["--set", "curate.references=right"], "references")):
        ran = CliRunner().invoke(cli, ["collect", "--pilot", "12", "--json", "--project", str(project.root), *options])
        assert ran.exit_code == 0, ran.output
        (found,) = json.loads(ran.stdout)
        assert found["measured_on"] == measured_on and (found["log"] is None) == bool(options)
