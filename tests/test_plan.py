"""The forecast: the article's choice between API and logits, costs over the cap, and memory that is too small."""

from __future__ import annotations

from pathlib import Path

import pytest

from distil.calls.config import TeacherConfig
from distil.config import Config, parse_config
from distil.models.sizing import GIB, Machine
from distil.plan import choose_method, make
from distil.records import Message, Prompt
from distil.runs.artifacts import Project
from distil.runs.jsonl import write_records

LAPTOP = Machine(8, 16 * GIB, None, 0, 0)
H100 = Machine(16, 128 * GIB, "NVIDIA H100 80GB HBM3", 1, 80 * GIB)


def project_with(folder: Path, count: int) -> Project:
    project = Project(folder)
    write_records(
        project.prompts, [Prompt.make([Message(role="user", content=f"question {i} " * 20)]) for i in range(count)]
    )
    return project


def config(**sections: object) -> Config:
    return parse_config({"prompts": {"path": "p.jsonl"}, "teachers": [{"model": "openai/gpt-4o"}], **sections}, "test")


def test_the_method_is_api_for_vendors_and_logits_if_open() -> None:
    assert choose_method(TeacherConfig(model="anthropic/claude-sonnet-4-5"), 2000, H100)[0] == "api"
    assert choose_method(TeacherConfig(model="local/Qwen3-8B"), 2000, H100)[0] == "logits"


def test_an_open_teacher_too_large_for_this_machine_is_an_api() -> None:
    method, reasons = choose_method(TeacherConfig(model="local/Llama-3-70B"), 2000, LAPTOP)
    assert method == "api" and "130.4 GiB" in reasons[0]


def test_a_forecast_has_dollars_hours_memory_and_terms(tmp_path: Path) -> None:
    forecast = make(project_with(tmp_path, 3000), config(cost={"student_host": {"input": 0.1, "output": 0.1}}), H100)
    assert forecast.teacher_calls == 3000
    assert forecast.collect_usd is not None and forecast.collect_usd == pytest.approx(
        3000 * (60 * 2.5 + 250 * 10) / 1e6, rel=0.2
    )
    assert forecast.training_hours is not None and 0 < forecast.training_hours < 1
    assert forecast.memory_gib is not None and 5 < forecast.memory_gib < 40
    assert forecast.payback == "under a day"
    assert any("OpenAI" in line for line in forecast.terms)


def test_few_prompts_a_low_cap_and_an_unknown_size_are_advised(tmp_path: Path) -> None:
    changed = config(collect={"budget_usd": 0.01}, student={"model": "someone/mystery"})
    forecast = make(project_with(tmp_path, 300), changed, LAPTOP)
    text = " ".join(forecast.advice)
    assert "distil prompts expand --count 900" in text
    assert "--set collect.budget_usd=" in text
    assert "mystery is unknown" in text


def test_what_will_not_fit_names_the_setting_that_does(tmp_path: Path) -> None:
    full = config(student={"model": "meta-llama/Llama-3-8B-Instruct"})
    forecast = make(project_with(tmp_path, 2000), full, Machine(16, 128 * GIB, "NVIDIA RTX 4090", 1, 24 * GIB))
    assert any("student.adapter=lora" in line for line in forecast.advice)
    small = make(project_with(tmp_path, 2000), full, Machine(16, 128 * GIB, "NVIDIA T4", 1, 2 * GIB))
    assert any("Even QLoRA does not fit" in line for line in small.advice)


def test_an_unknown_price_is_requested_in_the_plan(tmp_path: Path) -> None:
    unpriced = parse_config({"prompts": {"path": "p"}, "teachers": [{"model": "http://127.0.0.1:9/v1#m"}]}, "test")
    forecast = make(project_with(tmp_path, 10), unpriced, LAPTOP)
    assert forecast.collect_usd is None and any("price" in line for line in forecast.advice)


def test_terms_are_listed_once_per_vendor_and_hosted_means_api(tmp_path: Path) -> None:
    pair = [{"model": "openai/gpt-4o"}, {"model": "openai/gpt-4o-mini"}]
    forecast = make(project_with(tmp_path, 10), config(teachers=pair), LAPTOP)
    assert len(forecast.terms) == 1
    method, reasons = choose_method(TeacherConfig(model="groq/openai/gpt-oss-120b"), 2000, LAPTOP)
    assert method == "api" and "behind an API" in reasons[0]


def test_the_price_is_that_of_the_tier_in_use(tmp_path: Path) -> None:
    project = project_with(tmp_path, 100)
    standard, flex, cheapest = (
        make(project, config(teachers=[{"model": "openai/gpt-5-mini"}], collect={"tier": tier}), LAPTOP).collect_usd
        for tier in ("standard", "flex", "cheapest")
    )
    assert standard is not None and flex == cheapest == pytest.approx(standard / 2, rel=0.01)


def folder_in(project: Path, name: str) -> None:
    (project / name).mkdir()
    (project / name / "config.json").write_text(
        '{"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 128, "vocab_size": 100}'
    )


def test_a_local_teachers_folder_is_relative_to_the_project(tmp_path: Path) -> None:
    project = project_with(tmp_path, 10)
    folder_in(tmp_path, "mine")
    forecast = make(project, config(teachers=[{"model": "local/mine"}]), LAPTOP)
    assert forecast.method == "logits" and "license" in forecast.terms[0]


def test_a_students_folder_is_relative_to_the_project(tmp_path: Path) -> None:
    project = project_with(tmp_path, 10)
    folder_in(tmp_path, "mine")
    forecast = make(project, config(student={"model": "mine"}), LAPTOP)
    assert forecast.memory_gib is not None and forecast.training_hours is not None
