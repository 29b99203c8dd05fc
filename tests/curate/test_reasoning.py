"""What of a teacher's thinking is trained on: whole traces or none, short ones, a mix that stays as it is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from distil.calls.providers.summaries import shows_summaries
from distil.config import parse_config
from distil.curate.config import CurateConfig
from distil.curate.reasoning import place
from distil.curate.stage import CurateResult, run
from distil.models.config import StudentConfig
from distil.records import Answer, Prompt
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_examples
from distil.stage_states import step_state
from tests.curate.material import answer, distinct_text, project_with, prompt

LONG = " ".join(["step"] * 40)


def thought(question: Prompt, text: str, thinking: str | None, sample: int = 0, teacher: str = "recorded/t") -> Answer:
    given = answer(question, text, teacher=teacher, sample=sample)
    return given.model_copy(update={"reasoning": thinking})


def learned(folder: Path, prompts: list[Prompt], answers: list[Answer], **config: object) -> dict[str, str | None]:
    """Prompt id -> the thinking of its training example."""
    project, _ = curated(folder, prompts, answers, **config)
    return {e.prompt_id: e.messages[-1].reasoning_content for e in read_examples(project.split("train"))}


def curated(
    folder: Path, prompts: list[Prompt], answers: list[Answer], **config: object
) -> tuple[Project, CurateResult]:
    project = project_with(folder, prompts, answers)
    settings = {"test": 0, "validation": 0, "near_duplicates": None, "filters": []} | config
    return project, run(project, CurateConfig.model_validate(settings))


def rows(count: int, thinking: str | None = LONG) -> tuple[list[Prompt], list[Answer]]:
    prompts = [prompt(distinct_text(i)) for i in range(count)]
    return prompts, [thought(p, f"answer {i}", thinking) for i, p in enumerate(prompts)]


def test_a_trace_is_whole_or_not_there(tmp_path: Path) -> None:
    prompts, answers = rows(3)
    answers[1] = answers[1].model_copy(update={"reasoning": "one step"})
    answers[2] = answers[2].model_copy(update={"reasoning": " \n"})
    ids = [p.id for p in prompts]
    wanted = {
        "drop": [None, None, None],
        "full": [LONG, "one step", None],
        "short": [None, "one step", None],
    }
    for which, expected in wanted.items():
        found = learned(tmp_path / which, prompts, answers, reasoning=which, reasoning_tokens=10)
        assert [found[id_] for id_ in ids] == expected, which


def test_short_takes_the_shortest_of_equal_answers(tmp_path: Path) -> None:
    """Of the answers that come to the same; never one that comes to something else, and never one without any thinking."""
    question = prompt("What is 6 * 7?", reference="42")
    answers = [
        thought(question, "42", LONG),
        thought(question, "41", "a", sample=1),
        thought(question, "It is 42.", "six sevens", sample=2),
        thought(question, "42", None, sample=3),
        thought(question, "So: 42", "six times seven", sample=4),
    ]
    for choose in ("first", "majority", "reference"):
        found = learned(tmp_path / choose, [question], answers, reasoning="short", choose=choose)
        assert found[question.id] == "six sevens", choose
    assert learned(tmp_path / "full", [question], answers, reasoning="full")[question.id] == LONG
    project, _ = curated(tmp_path / "votes", [question], answers, reasoning="short", choose="votes")
    assert len(list(read_examples(project.split("train")))) == 5


def test_open_texts_are_equal_only_if_they_are_the_same(tmp_path: Path) -> None:
    question = prompt("Tell me about the sea, please")
    texts = ["The sea is wide and deep, and it is blue.", "The sea is salty, and ships sail on it all day."]
    answers = [
        thought(question, texts[0], "long enough to lose"),
        thought(question, texts[1], "short", sample=1),
        thought(question, texts[0], "wide", sample=2),
    ]
    assert learned(tmp_path, [question], answers, reasoning="short")[question.id] == "wide"


def test_a_mix_keeps_one_in_five_whole_and_stays(tmp_path: Path) -> None:
    """Which ones is the prompt's own: as many more prompts and another seed leave it as it is."""
    prompts, answers = rows(200)
    found = learned(tmp_path / "all", prompts, answers, reasoning="mix", reasoning_tokens=0)
    whole = {id_ for id_, thinking in found.items() if thinking is not None}
    assert whole == {p.id for p in prompts if place(p.id) < 0.2}
    assert 25 <= len(whole) <= 55  # 40 expected, standard deviation 5.7
    few = learned(tmp_path / "few", prompts[:60], answers[:60], reasoning="mix", reasoning_tokens=0, seed=5)
    assert {id_ for id_, thinking in few.items() if thinking} == whole & {p.id for p in prompts[:60]}
    short = learned(tmp_path / "short", prompts, answers, reasoning="mix", reasoning_tokens=100)
    assert set(short.values()) == {LONG}


def test_what_became_of_the_thinking_is_counted(tmp_path: Path) -> None:
    prompts, answers = rows(6)
    answers[:3] = [
        a.model_copy(update={"reasoning": thinking}) for a, thinking in zip(answers, ("a", "b", None), strict=False)
    ]
    _, result = curated(tmp_path / "a", prompts, answers, reasoning="short", reasoning_tokens=10)
    assert result.thinking == {
        "short": 2,
        "without: over curate.reasoning_tokens": 3,
        "without: the teacher showed none": 1,
    }
    assert "thinking of the training answers" in dict(result.rows())
    _, dropped = curated(tmp_path / "b", prompts, answers)
    assert dropped.thinking == {} and "thinking of the training answers" not in dict(dropped.rows())
    for thinking, why in ((LONG, "it is too long"), (None, "the teachers showed none")):
        _, none = curated(tmp_path / str(thinking), *rows(6, thinking), reasoning="short", reasoning_tokens=10)
        assert any(why in warning for warning in none.warnings)


def test_a_trace_that_the_student_cannot_read_is_left_out(tmp_path: Path) -> None:
    """The prompt stays in its split: the evaluation would be silent about it otherwise."""
    prompts, answers = rows(4)
    answers[0] = answers[0].model_copy(update={"reasoning": " ".join(["thought"] * 3000)})
    project = project_with(tmp_path, prompts, answers)
    section = CurateConfig(test=0, validation=0, near_duplicates=None, reasoning="full")
    student = StudentConfig(model="bundled/student", template_args={"enable_thinking": True})
    result = run(project, section, student=student)
    assert result.thinking == {"whole": 3, "without: longer than the student reads": 1} and result.train == 4


@pytest.mark.parametrize(
    ("model", "summary"),
    [
        ("openai/o3-mini", True),
        ("openai-responses/gpt-5.2", True),
        ("azure/gpt-5-mini", True),
        ("anthropic/claude-sonnet-4-5", True),
        ("bedrock/us.anthropic.claude-opus-4-20250514-v1:0", True),
        ("google/gemini-2.5-flash", True),
        ("anthropic/claude-3-7-sonnet-20250219", False),
        ("groq/openai/gpt-oss-20b", False),
        ("openai/gpt-4o", False),
        ("deepseek/deepseek-reasoner", False),
        ("openrouter/qwen/qwen3-8b", False),
        ("recorded/answers.jsonl", False),
    ],
)
def test_which_models_show_a_summary(model: str, summary: bool) -> None:
    assert shows_summaries(model) is summary


def test_a_summary_is_called_one(tmp_path: Path) -> None:
    prompts = [prompt(distinct_text(i)) for i in range(4)]
    answers = [
        thought(p, f"answer {i}", "**Planning**", teacher="openai-responses/gpt-5") for i, p in enumerate(prompts)
    ]
    _, result = curated(tmp_path / "full", prompts, answers, reasoning="full")
    (warning,) = [line for line in result.warnings if "summary" in line]
    assert warning.startswith("the thinking of 4 training answers is a summary that openai-responses/gpt-5 shows")
    assert not any("summary" in line for line in curated(tmp_path / "drop", prompts, answers)[1].warnings)


def test_true_and_false_are_read_and_make_nothing_stale(tmp_path: Path) -> None:
    assert [CurateConfig.model_validate({"reasoning": old}).reasoning for old in (True, False)] == ["full", "drop"]
    with pytest.raises(ValidationError, match="'drop', 'short', 'full' or 'mix'"):
        CurateConfig.model_validate({"reasoning": "long"})
    for old, same, other in ((False, "drop", "full"), (True, "full", "short")):
        project, _ = curated(tmp_path / str(old), *rows(3), reasoning=same)
        path = project.root / "work/curate/manifest.json"
        manifest = json.loads(path.read_text(encoding="utf-8"))
        manifest["config"]["reasoning"] = old
        del manifest["config"]["reasoning_tokens"], manifest["config"]["reasoning_share"]
        path.write_text(json.dumps(manifest), encoding="utf-8")
        required = {"prompts": {"path": "p.jsonl"}, "teachers": [{"model": "recorded/t"}]}
        settings = {"test": 0, "validation": 0, "near_duplicates": None, "filters": []}
        for word, state in ((old, "done"), (same, "done"), (other, "stale")):
            config = parse_config(required | {"curate": settings | {"reasoning": word}}, "here")
            assert step_state(project, config, "curate").state == state, (old, word)


def test_validation_is_of_the_same_mode_as_the_training(tmp_path: Path) -> None:
    """Early stopping would watch answers without thinking otherwise; the test keeps the answer that stood there before."""
    prompts = [prompt(distinct_text(i), split=split) for i, split in enumerate(("train", "validation", "test"))]
    answers = [a for p in prompts for a in (thought(p, "yes", LONG), thought(p, "yes", "brief", sample=1))]
    project, _ = curated(tmp_path, prompts, answers, reasoning="short", reasoning_tokens=10)
    (validation,), (test,) = (list(read_examples(project.split(side))) for side in ("validation", "test"))
    assert validation.messages[-1].reasoning_content == "brief" and validation.answer_id == answers[3].id
    assert test.answer_id == answers[4].id
