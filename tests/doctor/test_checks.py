"""Each check on a project that has the fault and on one that has not, with the numbers and the command it must give."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from distil.doctor import checks, data, guards, leaks, quality, training
from distil.doctor.evidence import Evidence
from distil.doctor.finding import Finding
from distil.models.sizing import GIB, Machine
from distil.records import Answer, Example, Message, Sampling, Verdict
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_examples, read_json, write_json, write_lines, write_records
from distil.runs.manifest import stage_run
from distil.runs.schemas.failures import Failure
from tests.report.sample import make_project, write_evaluation, write_training

BIG = Machine(cores=16, ram=64 * GIB, gpu_name=None, gpus=0, gpu_memory=0)


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return make_project(tmp_path_factory.mktemp("doctor") / "p", train=300, students=("baseline", "sft"))


def project_with(folder: Path, **changes: Any) -> Project:
    return make_project(folder / "p", **({"train": 60, "test": 60, "students": ("baseline", "sft")} | changes))


def only(findings: list[Finding], check: str) -> Finding:
    found = [f for f in findings if f.check == check]
    assert len(found) == 1, found
    return found[0]


def test_a_healthy_project_has_no_problem_in_any_check(healthy: Project) -> None:
    findings = checks.run(healthy, BIG)
    assert {f.check for f in findings} == checks.CHECKS.keys()
    assert [f for f in findings if f.level == "problem" and f.check != "makes things up"] == []
    assert all(
        any(c.isdigit() for c in f.seen)
        or f.level == "unknown"
        or f.check in ("the config", "not measured", "an untuned start")
        for f in findings
    )


def test_an_empty_folder_gives_unknowns_and_says_what_to_run(tmp_path: Path) -> None:
    findings = checks.run(Project(tmp_path), BIG)
    assert {f.level for f in findings} == {"problem", "unknown"}
    assert only(findings, "the config").level == "problem"
    assert only(findings, "too few examples").fix == "distil curate"


def test_every_warning_has_a_reason_and_something_to_type(tmp_path: Path) -> None:
    project = project_with(tmp_path, right={"baseline": 0.95, "sft": 0.5})
    for finding in checks.run(project, BIG):
        if finding.level in ("warn", "problem"):
            assert finding.why and finding.fix, finding


def test_a_note_on_several_students_is_one_finding(tmp_path: Path) -> None:
    project = project_with(tmp_path)
    for student in ("baseline", "sft"):
        summary = project.stage("evaluate", student) / "summary.json"
        write_json(summary, read_json(summary) | {"notes": ["There is no ceiling."]})
    found = only(checks.run(project, BIG), "not measured")
    assert sorted(found.seen.removesuffix(": There is no ceiling.").split(", ")) == ["baseline", "sft"]


def test_few_examples_and_few_test_prompts_are_counted(tmp_path: Path) -> None:
    evidence = Evidence(project_with(tmp_path, train=60, test=40))
    few = data.enough_examples(evidence)
    assert (few.level, few.seen) == ("problem", "60 training examples in work/curate/train.jsonl.")
    assert "--count 940" in few.fix
    small = data.enough_test_prompts(evidence)
    assert small.level == "problem"
    assert "curate.test=200" in small.fix


def test_cut_answers_and_failed_calls_are_found(tmp_path: Path) -> None:
    project = Project(tmp_path)
    reasons = ["length"] * 15 + ["stop"] * 85
    answers = [
        Answer(
            id=f"a{i}", prompt_id=f"p{i}", teacher="t", sampling=Sampling(max_tokens=300), text="x",
            finish_reason=reason, call_id="c",
        )
        for i, reason in enumerate(reasons)
    ]  # fmt: skip
    write_records(project.answers, answers)
    failed = Failure(answer_id="a", prompt_id="p", teacher="t", sample=0, kind="server", why="500")
    write_records(project.failures, [failed] * 10)
    evidence = Evidence(project)
    cut, lost = data.truncated_answers(evidence), data.failed_calls(evidence)
    assert cut.level == "problem" and "15 of 100 answers (15.0%)" in cut.seen and "max_tokens=600" in cut.fix
    assert lost.level == "problem" and "10 of 110" in lost.seen and "server 10" in lost.seen


def test_thinking_in_answers_is_found_and_mended_for_free(tmp_path: Path) -> None:
    project = Project(tmp_path)
    given = {"prompt_id": "p", "teacher": "t", "sampling": Sampling(), "finish_reason": "stop", "call_id": "c"}
    texts = ["<think>Hm.</think>4", "Hm.</think>4", "The tag `<think>` opens it.", "4"]
    write_records(project.answers, [Answer(id=f"a{i}", text=text, **given) for i, text in enumerate(texts)])
    found = data.thinking_in_answers(Evidence(project))
    assert found.level == "problem" and "2 of 4" in found.seen and "--rebuild" in found.fix


def example(number: int, text: str, answer: str, split: Any, group: str | None = None) -> Example:
    messages = [
        Message(role="system", content="s"),
        Message(role="user", content=text),
        Message(role="assistant", content=answer),
    ]
    return Example(id=f"e{number}", prompt_id=f"p{number}", answer_id=None, messages=messages, split=split, group=group)


def test_leakage_duplicates_and_refusals_are_counted(tmp_path: Path) -> None:
    project = Project(tmp_path)
    train = [
        example(i, f"Question {i % 90}", "I'm sorry, but I can't." if i < 5 else "fine", "train") for i in range(100)
    ]
    test = [
        example(200, "question  1", "x", "test"),
        example(201, "new", "x", "test"),
        example(202, "z", "x", "test", "g"),
    ]
    write_records(project.split("train"), [*train, example(300, "q", "x", "train", "g")])
    write_records(project.split("test"), test)
    evidence = Evidence(project)
    assert "1 of 3 test prompts are also in another split" in leaks.leakage(evidence).seen
    assert leaks.leakage(evidence).level == "problem"
    assert "10 of 101" in data.duplicates(evidence).seen and data.duplicates(evidence).level == "warn"
    assert "5 of 101" in data.refusals(evidence).seen and data.refusals(evidence).level == "warn"


def test_one_question_about_other_documents_is_no_leak(tmp_path: Path) -> None:
    """The split tells 40 documents in the system turn apart; so does the doctor."""
    project = Project(tmp_path)

    def about(number: int, split: Any) -> Example:
        rng = random.Random(number)
        document = " ".join("".join(rng.choices("abcdefghijklmnop", k=7)) for _ in range(40))
        row = example(number, "Summarize the text.", f"s{number}", split)
        return row.model_copy(update={"messages": [Message(role="system", content=document), *row.messages[1:]]})

    write_records(project.split("train"), [about(i, "train") for i in range(30)])
    write_records(project.split("test"), [about(i, "test") for i in range(30, 40)])
    assert "0 of 10 test prompts" in leaks.leakage(Evidence(project)).seen
    write_records(project.split("test"), [about(i, "test") for i in range(25, 35)])
    assert "5 of 10 test prompts" in leaks.leakage(Evidence(project)).seen


def test_too_little_memory_names_the_setting_that_fits(healthy: Project, tmp_path: Path) -> None:
    fits = training.out_of_memory(Evidence(healthy, BIG))
    assert fits.level == "ok"
    project = Project(tmp_path)
    text = "prompts: {path: x.jsonl}\nteachers: [{model: openai/gpt-4o-mini}]\nstudent: {model: Qwen/Qwen3-8B}\n"
    project.config.write_text(text, encoding="utf-8")
    gpu = Machine(cores=8, ram=64 * GIB, gpu_name="A10", gpus=1, gpu_memory=24 * GIB)
    tight = training.out_of_memory(Evidence(project, gpu))
    assert tight.level == "problem"
    assert tight.cure.settings["student.adapter"] == "lora" and "GiB" in tight.seen


def test_memory_is_estimated_for_folders_in_the_project(tmp_path: Path) -> None:
    project = Project(tmp_path)
    text = (
        "prompts: {path: x.jsonl}\nteachers: [{model: local/large}]\nstudent: {model: small}\ntrain: {method: logits}\n"
    )
    project.config.write_text(text, encoding="utf-8")
    for name, hidden in (("large", 512), ("small", 64)):
        (tmp_path / name).mkdir()
        sizes = {"model_type": "llama", "hidden_size": hidden, "num_hidden_layers": 2, "num_attention_heads": 2}
        write_json(tmp_path / name / "config.json", sizes | {"intermediate_size": 128, "vocab_size": 100})
    found = training.out_of_memory(Evidence(project, BIG._replace(ram=GIB // 64)))
    assert found.level == "problem" and "teacher" in found.seen


def test_a_test_side_that_can_t_be_larger_needs_more_prompts(tmp_path: Path) -> None:
    project = Project(tmp_path)
    write_records(project.split("train"), [example(0, "q", "a", "train")])
    write_records(project.split("test"), [example(n, f"t{n}", "a", "test") for n in range(1, 100)])
    for asked, fix in ((100, "curate.test=200\ndistil curate"), (200, "distil prompts expand --count 303\n")):
        with stage_run(project, "curate", {"test": asked}):
            pass
        assert fix in data.enough_test_prompts(Evidence(project)).fix


def test_overfitting_is_found_and_the_best_epoch_is_named(tmp_path: Path) -> None:
    project = Project(tmp_path)
    write_records(project.split("train"), [example(0, "q", "a", "train")])
    write_training(project, "sft", losses=(0.9, 0.5, 0.6, 0.8))
    write_training(project, "good", losses=(0.9, 0.5, 0.45, 0.45))
    good, bad = training.overfitting(Evidence(project))
    assert good.level == "ok"
    assert bad.level == "problem" and "best 0.500 after epoch 2" in bad.seen and "train.epochs=2" in bad.fix


@pytest.mark.parametrize(
    ("losses", "words"), [((2.0, float("nan"), 1.0), "step 20"), ((2.0, 2.0, 2.0), "from 2.000 to 2.000")]
)
def test_a_loss_that_breaks_or_does_not_fall_is_a_problem(
    tmp_path: Path, losses: tuple[float, ...], words: str
) -> None:
    project = Project(tmp_path)
    lines = [json.dumps({"step": 10 * i, "loss": loss}) for i, loss in enumerate(losses, start=1)]
    write_lines(project.stage("train", "sft") / "metrics.jsonl", lines)
    (finding,) = training.the_loss(Evidence(project))
    assert finding.level == "problem" and words in finding.seen
    (ended,) = training.unfinished(Evidence(project))
    assert ended.fix == "distil train --as sft"


def test_a_trial_of_a_few_steps_is_not_judged(tmp_path: Path) -> None:
    project = Project(tmp_path)
    lines = [json.dumps({"step": i, "loss": 2.0}) for i in (1, 2, 3)]
    write_lines(project.stage("train", "trial") / "metrics.jsonl", lines)
    (finding,) = training.the_loss(Evidence(project))
    assert finding.level == "unknown" and "3 steps are too few to judge" in finding.seen


def test_a_student_no_better_than_the_baseline_is_reported(tmp_path: Path) -> None:
    project = project_with(tmp_path, test=200, right={"baseline": 0.97, "sft": 0.6})
    (finding,) = quality.no_better_than_baseline(Evidence(project))
    assert finding.level == "problem"
    assert finding.seen.startswith("sft is worse than baseline")
    assert "--count 1000" in finding.fix
    healthy = project_with(tmp_path / "other", test=200, right={"baseline": 0.5, "sft": 0.97})
    (finding,) = quality.no_better_than_baseline(Evidence(healthy))
    assert finding.level == "ok"


def test_without_a_baseline_the_doctor_says_how_to_make_one(tmp_path: Path) -> None:
    (finding,) = quality.no_better_than_baseline(Evidence(project_with(tmp_path, students=("sft",))))
    assert finding.level == "unknown"
    assert "train.target=reference" in finding.fix


def test_invented_numbers_are_those_of_the_verdict(tmp_path: Path) -> None:
    project = project_with(tmp_path, test=200, students=("sft",), right={"sft": 0.6})
    rewrite_guard(project, "number_mismatch", student=0.4, other=0.02, outcome="broken")
    (finding,) = guards.check(guards.MAKES_THINGS_UP)(Evidence(project))
    assert finding.level == "problem"
    assert "numbers of its own 40.0% (teacher's second answers 2.0%)" in finding.seen
    assert "wrong_answer" in finding.fix  # the prompts have references, and sft has no temperature
    rewrite_guard(project, "number_mismatch", student=0.03, other=0.02, outcome="open")
    assert guards.check(guards.MAKES_THINGS_UP)(Evidence(project))[0].level == "warn"
    rewrite_guard(project, "number_mismatch", student=0.02, other=0.02, outcome="held")
    assert guards.check(guards.MAKES_THINGS_UP)(Evidence(project))[0].level == "ok"


def rewrite_guard(project: Project, metric: str, *, student: float, other: float, outcome: str) -> None:
    """One guard in the summary of sft, in place of those that were measured."""
    path = project.summary("sft")
    value = read_json(path)

    def interval(mean: float) -> dict[str, float]:
        return {"mean": mean, "low": mean - 0.01, "high": mean + 0.01, "n": 200}

    label = {"number_mismatch": "numbers of its own", "truncated": "cut off"}[metric]
    value["guards"] = [
        {
            "metric": metric,
            "label": label,
            "versus": "ceiling",
            "student": interval(student),
            "other": interval(other),
            "shortfall": interval(student - other),
            "margin": 0.1,
            "outcome": outcome,
        }
    ]
    write_json(path, value)


def test_a_student_that_says_the_same_to_everything_is_generic(tmp_path: Path) -> None:
    project = project_with(tmp_path, students=("sft",))
    path = project.stage("evaluate", "sft") / "predictions.jsonl"
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for line in lines:
        if line["model"] == "sft":
            line["text"] = "Thank you for your message."
    write_lines(path, map(json.dumps, lines))
    (finding,) = quality.too_generic(Evidence(project))
    assert finding.level == "warn" and "most frequent answer 100.0%" in finding.seen
    assert "teachers.0.sampling.temperature=0.9" in finding.fix


def test_a_teacher_that_knows_no_better_is_a_problem(tmp_path: Path) -> None:
    project = project_with(tmp_path, students=())
    test = list(read_examples(project.split("test")))
    write_evaluation(project, "sft", test, {"ceiling": 0.9, "base": 0.97, "sft": 0.97})
    assert quality.teacher_is_better(Evidence(project)).level == "problem"
    assert quality.better_than_base(Evidence(project))[0].level == "problem"


def test_students_that_do_not_stop_and_similarity_below_the_goal(tmp_path: Path) -> None:
    project = project_with(tmp_path, students=("sft",))
    path = project.stage("evaluate", "sft") / "summary.json"
    value = read_json(path)
    value["models"]["sft"]["similarity"] = {"mean": 0.71, "low": 0.68, "high": 0.74, "n": 60}
    write_json(path, value)
    rewrite_guard(project, "truncated", student=0.4, other=0.0, outcome="broken")
    evidence = Evidence(project)
    assert guards.check(guards.DOES_NOT_STOP)(evidence)[0].level == "problem"
    (goal,) = quality.below_the_goal(evidence)
    assert goal.level == "problem" and "0.710, the article's goal 0.85" in goal.seen


def test_a_changed_input_makes_its_stage_stale_with_the_command(tmp_path: Path) -> None:
    project = project_with(tmp_path, students=("sft",))
    with project.split("train").open("a", encoding="utf-8") as file:
        file.write("\n")
    finding = only(checks.run(project, BIG), "stale stages")
    assert finding.level == "warn"
    assert finding.fix.splitlines() == ["distil curate", "distil train --as sft"]


def test_losers_of_a_choice_and_duplicates_are_no_dropped_data(tmp_path: Path) -> None:
    """Two teachers for each prompt: half of the answers are not trained on, and no filter is to blame."""
    project = project_with(tmp_path)
    ids = [answer.id for answer in Evidence(project).answers]

    def found(*filters: str) -> Finding:
        verdicts = [
            Verdict(answer_id=ids[i], prompt_id="p", filter=name, keep=False, reason="r")
            for i, name in enumerate(filters)
        ]
        write_records(project.dropped, verdicts)
        return data.much_dropped(Evidence(project))

    half = len(ids) // 2
    kept = found(*["choose"] * half, "duplicate", "near_duplicate", "balance")
    assert kept.level == "ok" and f"{half} more were not chosen. 3 more repeat" in kept.seen
    assert found(*["refusal"] * half).level == "warn"
