"""The forecast: API or logits with evidence, prices by tier, machines side by side, and changes that change what they name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from distil.cli.main import cli
from distil.cli.plan import gib
from distil.config import Config, load_config, override_config, parse_config, read_data
from distil.errors import UserError
from distil.models.sizing import GIB, Machine, named_machine
from distil.plan import Forecast, choose_method, make
from distil.plan.data import labels_of
from distil.plan.forecast import Change
from distil.plan.make import thinks
from distil.plan.method import Method, split_for_server
from distil.records import Message, Prompt
from distil.runs.artifacts import Project
from distil.runs.jsonl import write_records
from distil.train.rate import SHARE

LAPTOP = Machine(8, 16 * GIB, None, 0, 0)
H100 = Machine(16, 128 * GIB, "NVIDIA H100 80GB HBM3", 1, 80 * GIB)
EIGHT = H100._replace(gpus=8)


def project_with(folder: Path, count: int, references: int = 0) -> Project:
    project = Project(folder)
    prompts = [
        Prompt.make(
            [Message(role="user", content=f"question {i} " * 20)],
            reference=f"label {i % references}" if references else None,
        )
        for i in range(count)
    ]
    write_records(project.prompts, prompts)
    return project


def config(**sections: object) -> Config:
    return parse_config({"prompts": {"path": "p.jsonl"}, "teachers": [{"model": "openai/gpt-4o"}], **sections}, "test")


def open_pair(teacher: str, student: str = "meta-llama/Llama-3-8B", **train: object) -> Config:
    return config(teachers=[{"model": teacher}], student={"model": student}, train=train)


def settings_of(forecast: Forecast) -> list[str]:
    return [setting for change in forecast.changes for setting in change.settings]


def test_the_method_is_api_for_vendors_and_logits_if_open(tmp_path: Path) -> None:
    project = Project(tmp_path)
    assert choose_method(project, config(), 2000, H100).name == "api"
    found = choose_method(project, open_pair("local/Qwen3-1.7B", "Qwen/Qwen3-0.6B"), 2000, H100)
    assert found.name == "logits" and "train.method=logits" in found.changes[0].settings
    hosted = choose_method(project, open_pair("groq/openai/gpt-oss-120b"), 2000, LAPTOP)
    assert hosted.name == "api" and "behind an API" in hosted.reasons[0]


def test_a_teacher_that_fits_alone_is_cached(tmp_path: Path) -> None:
    found = choose_method(Project(tmp_path), open_pair("local/Llama-3-30B"), 2000, H100)
    assert found.name == "logits" and "train.signal=cached" in found.changes[0].settings


def test_70b_to_8b_on_eight_h100(tmp_path: Path) -> None:
    """The teacher is served on some of the GPUs and the student's weights are split over the others."""
    forecast = make(project_with(tmp_path, 2000), open_pair("local/meta-llama/Llama-3-70B"), EIGHT)
    assert forecast.method == "logits"
    found = settings_of(forecast)
    assert {"train.signal=server", "train.method=logits", "train.fsdp=true", "train.processes=4"} <= set(found)
    text = " ".join([*forecast.reasons, *forecast.advice])
    assert "vllm serve meta-llama/Llama-3-70B --tensor-parallel-size 4" in text and "other 4" in text
    assert not any("GiB and this machine has" in reason for reason in forecast.reasons)


def test_a_served_teacher_gives_distributions(tmp_path: Path) -> None:
    """vLLM with train.signal: server."""
    served = config(
        teachers=[{"model": "http://127.0.0.1:8000/v1#m", "price": {"input": 0, "output": 0}}],
        train={"method": "logits", "signal": "server"},
    )
    found = choose_method(Project(tmp_path), served, 2000, LAPTOP)
    assert found.name == "logits" and "out of reach" not in " ".join(found.reasons)
    plain = choose_method(Project(tmp_path), open_pair("http://127.0.0.1:8000/v1#m"), 2000, LAPTOP)
    assert plain.name == "api" and "--set train.signal=server" in " ".join(plain.reasons)


@pytest.mark.parametrize("teacher", ["local/Qwen3-1.7B", "http://127.0.0.1:8000/v1#m", "openai/gpt-4o"])
def test_dpo_is_not_replaced_by_logits(tmp_path: Path, teacher: str) -> None:
    """It was chosen: --apply must not write another method over it, whatever the teacher could give."""
    settings = open_pair(teacher, "Qwen/Qwen3-0.6B", method="dpo")
    found = choose_method(Project(tmp_path), settings, 2000, H100)
    assert found.name == "api" and not found.changes
    assert "dpo prefers the teacher's answers" in found.reasons[0]
    assert ("work/train/logits/model" in found.reasons[1]) == (teacher != "openai/gpt-4o")
    if teacher.startswith("local/"):
        forecast = make(project_with(tmp_path, 2000), settings, H100)
        assert not any(setting.startswith("train.method") for setting in settings_of(forecast))


def test_an_open_teacher_too_large_for_this_machine_is_an_api(tmp_path: Path) -> None:
    found = choose_method(Project(tmp_path), open_pair("local/Llama-3-70B"), 2000, LAPTOP)
    assert found.name == "api" and "130.4 GiB" in found.reasons[0]


def test_a_forecast_has_dollars_hours_memory_and_terms(tmp_path: Path) -> None:
    forecast = make(project_with(tmp_path, 3000), config(cost={"student_host": {"input": 0.1, "output": 0.1}}), H100)
    assert forecast.teacher_calls == 3000
    assert forecast.collect_usd is not None and forecast.collect_usd == pytest.approx(
        3000 * (60 * 2.5 + 250 * 10) / 1e6, rel=0.2
    )
    assert forecast.training_hours is not None and 0 < forecast.training_hours < 1
    assert forecast.memory_gib is not None and 8 < forecast.memory_gib < 60
    assert forecast.payback == "under a day"
    assert any("OpenAI" in line for line in forecast.terms)
    assert "aim at 1,000" in forecast.examples


def test_the_price_is_shown_at_every_tier(tmp_path: Path) -> None:
    project = project_with(tmp_path, 100)
    forecasts = [
        make(project, config(teachers=[{"model": "openai/gpt-5-mini"}], collect={"tier": tier}), LAPTOP)
        for tier in ("standard", "flex")
    ]
    standard, flex = (forecast.collect_usd for forecast in forecasts)
    assert standard is not None and flex == pytest.approx(standard / 2, rel=0.01)
    for forecast in forecasts:  # the same whichever is configured
        prices = {tier.tier: tier for tier in forecast.tiers}
        assert set(prices) == {"live", "flex", "batch"}
        assert prices["live"].usd == pytest.approx(standard, rel=0.01)
        assert prices["flex"].usd == pytest.approx(standard / 2, rel=0.01)
        assert prices["live"].low_usd is None and prices["live"].high_usd > prices["live"].usd


def test_few_prompts_a_low_cap_and_an_unknown_size_are_advised(tmp_path: Path) -> None:
    changed = config(collect={"budget_usd": 0.01}, student={"model": "someone/mystery"})
    forecast = make(project_with(tmp_path, 300), changed, LAPTOP)
    text = " ".join(forecast.advice)
    assert "distil prompts expand --count 900" in text
    assert "--set collect.budget_usd=" in text
    assert "mystery is unknown" in text and forecast.memory_gib is None and forecast.places == []


def test_what_will_not_fit_names_the_setting_that_does(tmp_path: Path) -> None:
    full = config(student={"model": "meta-llama/Llama-3-8B-Instruct"})
    project = project_with(tmp_path, 2000)
    forecast = make(project, full, named_machine("RTX 4090"))
    assert any("student.adapter=lora" in line for line in forecast.advice)
    small = make(project, full, Machine(16, 128 * GIB, "NVIDIA T4", 1, 2 * GIB))
    assert any("Even QLoRA does not fit" in line for line in small.advice)
    laptop = make(project, full, LAPTOP)
    assert not any("4bit" in line or "QLoRA" in line for line in laptop.advice)


def test_an_unknown_card_has_no_speed(tmp_path: Path) -> None:
    forecast = make(project_with(tmp_path, 2000), config(), named_machine("MI300X:192"))
    assert forecast.training_hours is None and any("speed of MI300X is not known" in line for line in forecast.advice)
    assert forecast.places[0].full.fits and forecast.places[0].full.hours is None


def test_machines_stand_side_by_side(tmp_path: Path) -> None:
    forecast = make(project_with(tmp_path, 2000), open_pair("openai/gpt-4o"), LAPTOP)
    places = {place.machine: place for place in forecast.places}
    assert len(places) == 11 and places["8 CPU cores, 16 GiB"].qlora is None
    one, several = places["1 x H100, 80 GiB"], places["8 x H100, 80 GiB"]
    assert not one.full.fits and one.full.gib > 80 and several.full.fits and one.lora.fits
    assert one.lora.hours is not None and several.lora.hours == pytest.approx(one.lora.hours / (1 + SHARE) / 8)
    assert one.lora.usd == pytest.approx(one.lora.hours * 4.18)
    assert not places["1 x RTX 4090, 24 GiB"].full.fits


def test_an_unknown_price_is_requested_in_the_plan(tmp_path: Path) -> None:
    unpriced = parse_config({"prompts": {"path": "p"}, "teachers": [{"model": "http://127.0.0.1:9/v1#m"}]}, "test")
    forecast = make(project_with(tmp_path, 10), unpriced, LAPTOP)
    assert forecast.collect_usd is None and any("price" in line for line in forecast.advice)
    assert forecast.month_before_usd is None and forecast.payback == "unknown"


def test_a_recorded_teacher_does_not_cost_nothing_a_month(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps({"prompt": "q", "answer": "a"}) + "\n")
    forecast = make(project_with(tmp_path, 10), config(teachers=[{"model": "recorded/a.jsonl"}]), LAPTOP)
    assert forecast.month_before_usd is None


def test_labels_raise_the_number_of_examples(tmp_path: Path) -> None:
    project = project_with(tmp_path, 400, references=77)
    forecast = make(project, config(), LAPTOP)
    assert "77 labels" in forecast.examples and "3,850" in forecast.examples
    free = [
        Prompt.make([Message(role="user", content=str(i))], reference=f"a text of its own, {i}") for i in range(100)
    ]
    assert labels_of(free) == {}


@pytest.mark.parametrize(
    ("model", "effort", "expected"),
    [
        ("openai/gpt-5-mini", None, True),
        ("openai/gpt-5-mini", "minimal", False),
        ("openai/o4-mini", None, True),
        ("google/gemini-2.5-flash", None, True),
        ("openai/gpt-4o", None, False),
        ("anthropic/claude-sonnet-4-5", None, False),
        ("anthropic/claude-sonnet-4-5", "high", True),
        ("deepseek/deepseek-reasoner", None, True),
    ],
)
def test_a_teacher_that_thinks_needs_more_tokens(
    tmp_path: Path, model: str, effort: str | None, expected: bool
) -> None:
    settings = config(teachers=[{"model": model, "sampling": {"reasoning_effort": effort} if effort else {}}])
    assert thinks(settings.teachers[0]) is expected
    if model == "openai/gpt-5-mini" and expected:
        forecast = make(project_with(tmp_path, 10), settings, LAPTOP)
        assert "teachers.0.sampling.max_tokens=4000" in settings_of(forecast)


def test_terms_are_listed_once_per_vendor(tmp_path: Path) -> None:
    pair = [{"model": "openai/gpt-4o"}, {"model": "openai/gpt-4o-mini"}]
    assert len(make(project_with(tmp_path, 10), config(teachers=pair), LAPTOP).terms) == 1


def folder_in(project: Path, name: str) -> None:
    (project / name).mkdir()
    (project / name / "config.json").write_text(
        '{"model_type": "llama", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 128, '
        '"vocab_size": 100}'
    )


def test_folders_are_relative_to_the_project(tmp_path: Path) -> None:
    project = project_with(tmp_path, 10)
    folder_in(tmp_path, "mine")
    forecast = make(project, open_pair("local/mine", "mine"), LAPTOP)
    assert forecast.method == "logits" and "license" in forecast.terms[0]
    assert forecast.memory_gib is not None and forecast.training_hours is not None
    assert forecast.size_source == "config.json"


CASES = [
    ({"teachers": [{"model": "openai/gpt-5-mini"}], "collect": {"budget_usd": 0.01}}, LAPTOP),
    ({"teachers": [{"model": "local/Qwen3-1.7B"}]}, H100),
    ({"teachers": [{"model": "local/Llama-3-70B"}], "student": {"model": "x/Llama-3-8B"}}, EIGHT),
    ({"teachers": [{"model": "openai/gpt-4o"}], "student": {"model": "x/Llama-3-8B"}}, named_machine("RTX 4090")),
]


@pytest.mark.parametrize(("sections", "machine"), CASES)
def test_every_change_parses_and_changes_what_it_names(
    tmp_path: Path, sections: dict[str, object], machine: Machine
) -> None:
    """And with it written, the same plan has nothing more to change."""
    project = project_with(tmp_path, 2000)
    forecast = make(project, config(**sections), machine)
    assert forecast.changes
    data = {"prompts": {"path": "p.jsonl"}, **json.loads(json.dumps(sections))}
    changed = override_config(data, "test", settings_of(forecast))
    for setting in settings_of(forecast):
        key, _, value = setting.partition("=")
        assert at(changed, key) != at(config(**sections), key), setting
        assert str(at(changed, key)).lower() == value.lower() or float(str(at(changed, key))) == float(value)
    again = make(project, changed, machine)
    assert [c for c in again.changes if "train" in c.settings[0] or "student" in c.settings[0]] == []


def at(found: object, key: str) -> object:
    for part in key.split("."):
        found = found[int(part)] if isinstance(found, list) else getattr(found, part)
    return found


def test_apply_shows_asks_and_writes(tmp_path: Path) -> None:
    text = "# mine\nprompts:\n  path: q.jsonl  # questions\nteachers:\n  - model: openai/gpt-5-mini\n"
    (tmp_path / "distil.yaml").write_text(text)
    (tmp_path / "q.jsonl").write_text('{"prompt": "hello"}\n')
    arguments = ["plan", "--project", str(tmp_path), "--apply", "--machine", "H100"]
    refused = CliRunner().invoke(cli, arguments, input="y\n")
    assert "+" in refused.output and "max_tokens" in refused.output and "Add --yes" in str(refused.exception)
    assert (tmp_path / "distil.yaml").read_text() == text
    written = CliRunner().invoke(cli, [*arguments, "--yes"])
    assert written.exit_code == 0, written.output
    assert (
        "# mine" in (tmp_path / "distil.yaml").read_text() and "# questions" in (tmp_path / "distil.yaml").read_text()
    )
    assert load_config(Project(tmp_path)).teachers[0].sampling.max_tokens == 4000
    again = CliRunner().invoke(cli, arguments)
    assert "needs no change" in again.output
    assert read_data(text, "x")["teachers"]


def test_apply_refuses_a_setting_of_one_command(tmp_path: Path) -> None:
    text = "prompts:\n  path: q.jsonl\nteachers:\n  - model: openai/gpt-5-mini\n"
    (tmp_path / "distil.yaml").write_text(text)
    (tmp_path / "q.jsonl").write_text('{"prompt": "hello"}\n')
    arguments = ["plan", "--project", str(tmp_path), "--apply", "--yes", "--set", "student.model=my models/x-70B"]
    refused = CliRunner().invoke(cli, arguments)
    assert isinstance(refused.exception, UserError)
    assert "distil config set 'student.model=my models/x-70B'" in str(refused.exception)
    assert (tmp_path / "distil.yaml").read_text() == text


def test_a_teacher_in_the_project_leaves_gpus(tmp_path: Path) -> None:
    """Its folder is found from anywhere; only the header says its size."""
    folder = tmp_path / "models" / "large"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"hidden_size": 8192, "num_hidden_layers": 80}))
    header = json.dumps({"a": {"dtype": "BF16", "shape": [70_000, 1_000_000], "data_offsets": [0, 0]}}).encode()
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    served = Method("logits", [], [Change(("train.signal=server",), "")])
    assert split_for_server(Project(tmp_path), open_pair("local/models/large"), served, EIGHT) == 4


def test_tokenizers_of_bundled_models_are_compared(tmp_path: Path) -> None:
    pair = config(teachers=[{"model": "bundled/teacher"}], student={"model": "bundled/student"})
    reasons = choose_method(Project(tmp_path), pair, 2000, LAPTOP).reasons
    assert any("tokenizer" in reason for reason in reasons) and not any("is not known" in reason for reason in reasons)


def test_a_machine_that_is_not_known_is_refused() -> None:
    with pytest.raises(UserError, match="8xH100"):
        named_machine("8xH1OO")


def test_sizes_are_whole_numbers_of_gib() -> None:
    assert [gib(value) for value in (134.2, 9.61, 0.853)] == ["134 GiB", "9.6 GiB", "0.85 GiB"]
