"""Answers from elsewhere: every shape of file, what is said about rows that do not fit, and models behind an API."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from distil.calls.config import Price, TeacherConfig
from distil.errors import UserError, WorkFailed
from distil.evaluate import stage
from distil.evaluate.config import EvaluateConfig
from distil.evaluate.given import check_name, elsewhere, from_file
from distil.models.config import StudentConfig
from distil.records import Answer, Example, Message, Prediction, Prompt, Sampling
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_records, write_records
from distil.runs.schemas.summary import Summary
from tests.tiny import tiny_examples, write_tiny_splits
from tests.wire.openai import OpenAIServer

SECTION = EvaluateConfig(metrics=["field_agreement", "exact_match", "rouge_l"], ceiling=False)
TEACHER = TeacherConfig(model="recorded/none.jsonl", sampling=Sampling(temperature=0.7, max_tokens=6))
EXAMPLES = tiny_examples(8, "test")


def prompt(example: Example) -> str:
    return example.prompt_messages[-1].text


def wire(example: Example) -> list[dict[str, Any]]:
    return [message.to_wire() for message in example.prompt_messages]


def choice(text: str | None, **message: Any) -> dict[str, Any]:
    reason = "tool_calls" if message else "length"
    return {"choices": [{"message": {"role": "assistant", "content": text, **message}, "finish_reason": reason}]}


def lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def read(path: Path | str, examples: list[Example] = EXAMPLES, project: Project | None = None) -> Any:
    return from_file(elsewhere(str(path), project or Project(".")), examples, "x")


SHAPES: dict[str, Any] = {
    "prompt and output": lambda e: {"prompt": prompt(e), "output": "yes"},
    "alpaca_eval": lambda e: {"instruction": prompt(e), "output": "yes", "generator": "m"},
    "other case and blanks": lambda e: {"question": f"  {prompt(e).upper()} ", "answer": "yes"},
    "prompt id": lambda e: {"prompt_id": e.prompt_id, "completion": "yes"},
    "conversation": lambda e: {"messages": [*wire(e), {"role": "assistant", "content": "yes"}]},
    "without the system turn": lambda e: {"messages": [*wire(e)[1:], {"role": "assistant", "content": "yes"}]},
    "log": lambda e: {"request": {"messages": wire(e)}, "response": choice("yes")},
    "batch output": lambda e: {"custom_id": e.prompt_id, "response": {"status_code": 200, "body": choice("yes")}},
    "lm-eval by its text": lambda e: {"doc_id": 0, "doc": {"q": 1}, "arguments": [[prompt(e), {}]], "resps": [["yes"]]},
    "lm-eval by its turns": lambda e: {
        "doc": {},
        "arguments": {"gen_args_0": {"arg_0": json.dumps(wire(e))}},
        "resps": [["yes"]],
    },
    "lm-eval on our own test split": lambda e: {
        "doc": e.to_chat(),
        "arguments": [["<|user|>rendered", {}]],
        "resps": [["yes"]],
    },
    "lm-eval on chat lines": lambda e: {
        "doc": {"messages": wire(e)},
        "arguments": [["<|user|>", {}]],
        "resps": [["yes"]],
    },
    "lm-eval by its document": lambda e: {
        "doc": {"question": prompt(e)},
        "arguments": [["5 shots", {}]],
        "resps": [["yes"]],
    },
}


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_of_file_is_matched(shape: str, tmp_path: Path) -> None:
    given = read(lines(tmp_path / "a.jsonl", [SHAPES[shape](example) for example in reversed(EXAMPLES)]))
    assert [p.prompt_id for p in given.predictions] == [e.prompt_id for e in EXAMPLES]
    assert {p.text for p in given.predictions} == {"yes"}
    assert {p.model for p in given.predictions} == {"x"}
    assert given.notes == []


def test_a_list_and_a_table_are_read_as_well(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps([{"instruction": prompt(e), "output": "a, b"} for e in EXAMPLES]))
    with (tmp_path / "a.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("prompt_id", "answer"), *((e.prompt_id, "a, b") for e in EXAMPLES)])
    by_list, by_table = read(tmp_path / "a.json"), read(tmp_path / "a.csv")
    assert by_list.predictions == by_table.predictions
    assert by_list.identity == by_table.identity


def test_finish_reasons_tools_and_tokens_are_kept(tmp_path: Path) -> None:
    call = {"id": "1", "type": "function", "function": {"name": "find", "arguments": "{}"}}
    rows = [
        {
            "prompt_id": EXAMPLES[0].prompt_id,
            "text": "cut",
            "finish_reason": "length",
            "usage": {"completion_tokens": 7},
        },
        {"custom_id": EXAMPLES[1].prompt_id, "response": {"body": choice(None, tool_calls=[call])}},
    ]
    first, second = read(lines(tmp_path / "a.jsonl", rows)).predictions
    assert (first.finish_reason, first.output_tokens) == ("length", 7)
    assert (second.tool_calls, second.finish_reason, second.text) == ([call], "tool_calls", "")


def test_predictions_of_an_evaluation_are_read_as_they_are(tmp_path: Path) -> None:
    made = [
        Prediction(
            id="p", prompt_id=e.prompt_id, model=model, text=model, finish_reason="stop", output_tokens=3,
            token_logprobs=[-0.5], token_entropies=[0.1],
        )
        for model in ("teacher", "base", "mine")
        for e in EXAMPLES
    ]  # fmt: skip
    write_records(tmp_path / "predictions.jsonl", made)
    given = read(tmp_path / "predictions.jsonl")
    assert {(p.text, p.model, tuple(p.token_logprobs)) for p in given.predictions} == {("mine", "x", (-0.5,))}
    assert len(given.predictions) == 8


def test_rows_that_do_not_fit_are_counted_and_said(tmp_path: Path) -> None:
    rows = [
        *({"prompt_id": e.prompt_id, "output": "a"} for e in EXAMPLES[:5]),
        {"prompt_id": EXAMPLES[0].prompt_id, "output": "b"},
        {"prompt": "something else", "output": "c"},
        {"prompt_id": EXAMPLES[5].prompt_id, "output": None},
        {"custom_id": EXAMPLES[6].prompt_id, "response": {"status_code": 500}, "error": {"code": "server_error"}},
    ]
    given = read(lines(tmp_path / "a.jsonl", rows))
    assert [p.text for p in given.predictions] == ["a"] * 5
    assert given.notes == [
        "a.jsonl: 5 of 8 test prompts have an answer, 3 have none. Left out: 1 rows answer no test prompt (the first: "
        f"{tmp_path / 'a.jsonl'}, line 7); 1 are further answers to a prompt that had one already (the first counts); "
        "2 hold no answer."
    ]


def test_a_row_that_fits_two_prompts_is_not_guessed(tmp_path: Path) -> None:
    other = Message(role="system", content="Answer in French.")
    twin = EXAMPLES[0].model_copy(update={"prompt_id": "prompt_twin", "messages": [other, *EXAMPLES[0].messages[1:]]})
    rows = [{"prompt": prompt(e), "output": "a"} for e in EXAMPLES]
    given = read(lines(tmp_path / "a.jsonl", rows), [*EXAMPLES, twin])
    assert len(given.predictions) == 7
    assert "1 rows fit several test prompts" in given.notes[0]
    exact = {"messages": [*(m.to_wire() for m in twin.messages[:-1]), {"role": "assistant", "content": "b"}]}
    given = read(lines(tmp_path / "b.jsonl", [exact]), [*EXAMPLES, twin])
    assert [p.prompt_id for p in given.predictions] == ["prompt_twin"]


@pytest.mark.parametrize(
    ("rows", "what"),
    [
        (
            [{"prompt": "other", "output": "a"}],
            "none of its 1 rows is an answer .* such as 'My order 0 has not arrived'",
        ),
        ([{"output": "a"}], r"line 1: found the fields output; expected a prompt and an answer"),
        ([{"prompt": "p", "output": "a", "generator": g} for g in ("m1", "m2")], "answers of 2 models .m1, m2.*#m1"),
        (
            [{"messages": [{"role": "boss", "content": "x"}], "output": "a"}],
            "line 1: field '0?role'|line 1: field 'role'",
        ),
        ([{"custom_id": "prompt_0", "response": {"choices": []}}], "line 1: the reply has no choices"),
    ],
    ids=["no match", "no prompt", "several models", "bad turn", "bad reply"],
)
def test_a_file_that_can_not_be_used_is_explained(rows: list[dict[str, Any]], what: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=what):
        read(lines(tmp_path / "a.jsonl", rows))


def test_one_of_several_models_in_a_file_is_chosen(tmp_path: Path) -> None:
    rows = [{"prompt": prompt(e), "output": g, "generator": g} for e in EXAMPLES for g in ("model-1", "model-2")]
    path = lines(tmp_path / "a.jsonl", rows)
    assert {p.text for p in read(f"{path}#model-2").predictions} == {"model-2"}
    assert elsewhere(f"{path}#model-2", Project(".")).name == "model-2"
    with pytest.raises(UserError, match=r"no answers of 'model-3'\. It has: model-1, model-2\. Did you mean"):
        read(f"{path}#model-3")


def test_what_answers_may_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    project = Project(tmp_path / "task")
    for name in ("vicuna 7b.jsonl", "run/predictions.jsonl", "task/own.jsonl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert elsewhere("vicuna 7b.jsonl", project).name == "vicuna-7b"
    assert elsewhere("run/predictions.jsonl", project).name == "run"
    assert elsewhere("recorded/own.jsonl", project).reference == "own.jsonl"
    assert elsewhere("http://gpu:8000/v1#org/small", project).name == "small"
    assert elsewhere("openai/gpt-5-mini", project).model == "openai/gpt-5-mini"
    with pytest.raises(UserError, match="Did you mean 'openai'"):
        elsewhere("opneai/gpt-5-mini", project)
    with pytest.raises(UserError, match="no such file"):
        elsewhere("nothing.jsonl", project)
    for bad in ("../x", "", "a b", ".hidden"):
        with pytest.raises(UserError, match="expected a name"):
            check_name(bad)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path / "task")
    write_tiny_splits(made, train=0, validation=0, test=8)
    return made


def evaluate(project: Project, answers: str, name: str = "x", **changes: Any) -> Summary:
    section = SECTION.model_copy(update=changes)
    source = elsewhere(answers, project)
    return stage.run(project, section, name=name, teachers=[TEACHER], student=StudentConfig(), answers=source)


def test_answers_are_evaluated_without_any_training(project: Project, tmp_path: Path) -> None:
    right = lines(tmp_path / "right.jsonl", [{"prompt": prompt(e), "output": e.answer} for e in EXAMPLES])
    summary = evaluate(project, str(right))
    assert summary.models["x"]["exact_match"].mean == 1.0
    assert "base" not in summary.models
    rows = list(read_records(project.predictions("x"), Prediction))
    assert {row.model for row in rows} == {"teacher", "x"}
    again = stage.run(project, SECTION, name="x", teachers=[TEACHER], student=StudentConfig())
    assert again.models == summary.models
    few = evaluate(project, str(right), limit=3)
    assert few.models["x"]["exact_match"].n == 3


def test_a_name_that_is_taken_is_refused(project: Project, tmp_path: Path) -> None:
    right = lines(tmp_path / "right.jsonl", [{"prompt": prompt(e), "output": e.answer} for e in EXAMPLES])
    with pytest.raises(UserError, match="is reserved"):
        evaluate(project, str(right), "teacher")
    project.model("sft").mkdir(parents=True)
    with pytest.raises(UserError, match=r"trained here.*--as sft-2"):
        evaluate(project, str(right), "sft")


def test_without_a_test_set_all_collected_answers_are_one(tmp_path: Path) -> None:
    project = Project(tmp_path / "task")
    right = lines(tmp_path / "right.jsonl", [{"prompt": f"Question {i}?", "output": "yes"} for i in range(4)])
    with pytest.raises(UserError, match="`distil collect`"):
        evaluate(project, str(right))
    prompts = [Prompt.make([Message(role="user", content=f"Question {i}?")], fields={"kind": "k"}) for i in range(4)]
    write_records(project.prompts, prompts)
    answers = [
        Answer(
            id=f"answer_{i}", prompt_id=p.id, teacher="t", sampling=Sampling(), text="yes",
            finish_reason="length" if i == 3 else "stop", call_id="c",
        )
        for i, p in enumerate(prompts)
    ]  # fmt: skip
    write_records(
        project.answers, [*answers, answers[0].model_copy(update={"id": "second", "sample": 1, "text": "no"})]
    )
    summary = evaluate(project, str(right))
    assert (summary.test_prompts, summary.models["x"]["exact_match"].mean) == (3, 1.0)
    assert summary.notes[0].startswith("Nothing has been curated here, so all 3 prompts")
    assert "1 whose answer was cut off" in summary.notes[0]


def test_a_served_model_is_asked_once_and_priced(project: Project) -> None:
    with OpenAIServer(key=None, answer=lambda body: "yes") as server:
        model = f"{server.url}#gpt-4o-mini"
        with pytest.raises(UserError, match=r"evaluate\.candidates=\[\{model"):
            evaluate(project, model)
        priced = [TeacherConfig(model=model, price=Price(input=1.0, output=1.0))]
        first = evaluate(project, model, candidates=priced)
        again = evaluate(project, model, candidates=priced)
        assert len(server.answered) == 8
        assert server.answered[0]["messages"][0]["role"] == "system"
        assert server.answered[0]["max_tokens"] == 6
    assert first.usd > 0 and again.usd == 0
    assert first.speed["x"].where == "remote"


def test_a_served_model_that_never_answers_is_an_error(project: Project) -> None:
    with OpenAIServer(key=None) as server:
        model = f"{server.url}#gpt-4o-mini"
    gone = TeacherConfig(model=model, price=Price(input=1.0, output=1.0), attempts=1)
    with pytest.raises(WorkFailed, match="gave no answer to any test prompt"):
        evaluate(project, model, candidates=[gone])


def test_the_cap_covers_the_student_that_is_asked(project: Project) -> None:
    with OpenAIServer(key=None, answer=lambda body: "yes") as server:
        model = f"{server.url}#gpt-4o-mini"
        priced = [TeacherConfig(model=model, price=Price(input=1.0, output=1.0))]
        with pytest.raises(WorkFailed, match="were not answered"):
            evaluate(project, model, candidates=priced, budget_usd=0.0)
        assert server.answered == []
