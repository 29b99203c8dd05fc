"""From predictions to values: which models get which metrics."""

from __future__ import annotations

from distil.evaluate.scoring import case_of, score_all, shuffled_answers
from distil.records import Example, Message, Prediction

CALL = [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]


def example(number: int, answer: str, *, calls: list[dict[str, object]] | None = None) -> Example:
    messages = [Message(role="user", content=str(number)), Message(role="assistant", content=answer, tool_calls=calls)]
    return Example(
        id=f"e{number}", prompt_id=f"p{number}", answer_id=None, messages=messages, split="test", fields={"a": "b"}
    )


def said(examples: list[Example], model: str, text: str | None = None) -> list[Prediction]:
    return [
        Prediction(
            id=f"{model}-{e.prompt_id}", prompt_id=e.prompt_id, model=model, text=e.answer if text is None else text,
            finish_reason="stop", output_tokens=1, tool_calls=e.messages[-1].tool_calls,
        )
        for e in examples
    ]  # fmt: skip


def test_unrelated_answers_are_a_model_for_what_compares() -> None:
    examples = [example(i, f"answer number {i} of some") for i in range(30)]
    scored = score_all(
        examples, {"teacher": said(examples, "teacher"), "sft": said(examples, "sft")}, ["exact_match", "truncated"]
    )
    assert set(scored.table) == {"teacher", "sft", "shuffled"}
    assert set(scored.table["shuffled"]) == {"exact_match"} and not any(
        scored.table["shuffled"]["exact_match"].values()
    )
    assert set(scored.table["teacher"]) == {"truncated"} and all(scored.table["sft"]["exact_match"].values())
    assert {score.model for score in scored.scores} == {"teacher", "sft", "shuffled"}


def test_nobody_gets_its_own_answer() -> None:
    examples = [example(i, str(i)) for i in range(7)]
    dealt = shuffled_answers(examples, seed=0)
    assert sorted(p.text for p in dealt) == [str(i) for i in range(7)]
    assert all(p.text != e.answer and p.prompt_id == e.prompt_id for p, e in zip(dealt, examples, strict=True))
    assert shuffled_answers(examples, seed=0) == dealt != shuffled_answers(examples, seed=1)
    assert shuffled_answers(examples[:1], seed=0) == []


def test_a_case_has_everything_that_metrics_look_at() -> None:
    row = example(1, "", calls=CALL)
    case = case_of(row, said([row], "sft")[0], "sft")
    assert (case.tool_calls, case.teacher_tool_calls, case.fields, case.prompt_id) == (CALL, CALL, {"a": "b"}, "p1")
    own = case_of(row, said([row], "teacher")[0], "teacher")
    assert own.teacher is None and own.teacher_tool_calls == () and own.tool_calls == CALL
    scored = score_all([row, example(2, "x", calls=None)], {"sft": said([row], "sft")}, ["tool_calls", "bad_format"])
    assert scored.table["sft"] == {"tool_calls": {"p1": 1.0}}
