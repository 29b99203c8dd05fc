"""Bad input costs one paragraph and the right exit code; an interruption loses no finished work."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from tests import warm
from tests.tiny import save_tiny

ENVIRONMENT = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}


def distil(project: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs one command in a subprocess."""
    return subprocess.run(
        [warm.executable(), "-m", "distil", *arguments, "--project", str(project)],
        env={k: v for k, v in (ENVIRONMENT | environment).items() if v}, capture_output=True, text=True, check=False, timeout=240,
    )  # fmt: skip


def write_project(folder: Path, rows: int = 40, **sections: object) -> Path:
    """A project with a recorded teacher and a tiny student."""
    save_tiny(folder / "tiny")
    lines = [{"prompt": f"message {n} about thing {n * 7919 % 9973}", "output": f"answer {n % 7}"} for n in range(rows)]
    (folder / "prompts.jsonl").write_text("".join(json.dumps({"prompt": x["prompt"]}) + "\n" for x in lines))
    (folder / "answers.jsonl").write_text("".join(json.dumps(x) + "\n" for x in lines))
    config: dict[str, object] = {
        "prompts": {"path": "prompts.jsonl"},
        "teachers": [{"model": "recorded/answers.jsonl", "sampling": {"max_tokens": 8}}],
        "curate": {"test": 8, "near_duplicates": None},
        "student": {"model": str(folder / "tiny")},
        "train": {"epochs": 1, "learning_rate": 1e-3},
        "evaluate": {"metrics": ["exact_match"], "ceiling": False, "latency_prompts": 1},
        "cost": {
            "input_tokens": 10,
            "output_tokens": 10,
            "student_host": {"usd_per_hour": 0.1, "tokens_per_second": 100},
        },
    }
    (folder / "distil.yaml").write_text(yaml.safe_dump(config | sections))
    return folder


def refused(done: subprocess.CompletedProcess[str], *parts: str, code: int = 2) -> None:
    """One paragraph on stderr with these parts, no traceback, and the exit code."""
    assert done.returncode == code, (done.returncode, done.stderr)
    assert "Traceback" not in done.stderr
    paragraph = done.stderr.strip().splitlines()[-1]
    for part in parts:
        assert part in paragraph, paragraph


def test_an_unknown_config_key_gets_a_suggestion(tmp_path: Path) -> None:
    refused(
        distil(write_project(tmp_path, colect={"samples": 2}), "collect"),
        "unknown key 'colect'",
        "Did you mean 'collect'?",
    )


def test_a_missing_prompts_file_gets_a_suggestion(tmp_path: Path) -> None:
    refused(
        distil(write_project(tmp_path, prompts={"path": "promts.jsonl"}), "collect"), "promts.jsonl", "prompts.jsonl"
    )


@pytest.mark.parametrize(
    ("line", "message"),
    [('{"prompt": ""}', "line 41"), ('{"prompt": "x"', "line 41"), ('{"promt": "x"}', "prompt"), ('["x"]', "line 41")],
)
def test_a_bad_prompt_line_is_reported_by_file_and_line(tmp_path: Path, line: str, message: str) -> None:
    project = write_project(tmp_path)
    with (project / "prompts.jsonl").open("a") as file:
        file.write(line + "\n")
    refused(distil(project, "collect"), "prompts.jsonl", message)


def test_a_broken_record_line_is_an_error(tmp_path: Path) -> None:
    project = write_project(tmp_path)
    assert distil(project, "collect").returncode == 0
    answers = project / "work" / "collect" / "answers.jsonl"
    answers.write_text(answers.read_text() + '{"id": "answer_1", "prompt_id": 3}\n')
    refused(distil(project, "curate"), "answers.jsonl, line 41", "field")


def test_an_empty_answer_is_listed_and_the_others_are_kept(tmp_path: Path) -> None:
    project = write_project(tmp_path)
    lines = (project / "answers.jsonl").read_text().splitlines()
    lines[3] = json.dumps({**json.loads(lines[3]), "output": ""})
    (project / "answers.jsonl").write_text("\n".join(lines) + "\n")
    distil(project, "collect")
    assert len((project / "work" / "collect" / "answers.jsonl").read_text().splitlines()) == 39
    assert len((project / "work" / "collect" / "failures.jsonl").read_text().splitlines()) == 1


def test_a_missing_key_names_the_variable_to_set(tmp_path: Path) -> None:
    project = write_project(tmp_path, teachers=[{"model": "openai/gpt-5-mini"}])
    refused(distil(project, "collect", OPENAI_API_KEY=""), "OPENAI_API_KEY")


def test_an_unavailable_student_is_reported_in_one_paragraph(tmp_path: Path) -> None:
    project = write_project(tmp_path, student={"model": "Qwen/Qwen3-0.6B"})
    for command in ("collect", "curate"):
        assert distil(project, command).returncode == 0
    refused(distil(project, "train"), "Qwen/Qwen3-0.6B")


def test_a_wrong_command_and_a_wrong_option_are_usage_errors(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "distil", "colect"], capture_output=True, text=True, check=False, env=ENVIRONMENT
    )
    assert done.returncode == 2 and "Did you mean 'collect'?" in done.stderr
    assert distil(write_project(tmp_path), "collect", "--limt", "3").returncode == 2


def test_a_stage_out_of_order_names_the_command_to_run_first(tmp_path: Path) -> None:
    project = write_project(tmp_path)
    refused(distil(project, "curate"), "distil collect")
    refused(distil(project, "evaluate"), "distil train")


def test_budget_reached_exits_3_and_a_higher_budget_resumes(tmp_path: Path) -> None:
    teacher = {
        "model": "recorded/answers.jsonl",
        "sampling": {"max_tokens": 8},
        "price": {"input": 1000.0, "output": 1000.0},
    }
    project = write_project(tmp_path, teachers=[teacher], collect={"budget_usd": 0.2})
    refused(distil(project, "collect"), "budget", code=3)
    kept = len((project / "work" / "collect" / "answers.jsonl").read_text().splitlines())
    assert 0 < kept < 40
    assert distil(project, "collect", "--set", "collect.budget_usd=1000").returncode == 0
    assert len((project / "work" / "collect" / "answers.jsonl").read_text().splitlines()) == 40


def interrupted(project: Path, stage: str, command: list[str]) -> None:
    """Ctrl-C once the stage holds its lock: 130 (or 0 if it finished first), one line, no traceback."""
    running = subprocess.Popen(
        [warm.executable(), "-m", "distil", *command, "--project", str(project)],
        env=ENVIRONMENT,
        stderr=subprocess.PIPE,
        text=True,
    )
    lock = project / "work" / stage / ("sft" if stage in ("train", "evaluate") else "") / ".lock"
    deadline = time.monotonic() + 90
    while not lock.exists() and running.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    running.send_signal(signal.SIGINT)
    _, stderr = running.communicate(timeout=90)
    assert running.returncode in (0, 130), stderr
    assert "Traceback" not in stderr
    assert running.returncode == 0 or "same command again" in stderr or "resume" in stderr, stderr


def test_control_c_in_every_stage_is_resumable(tmp_path: Path) -> None:
    project = write_project(tmp_path, rows=400, train={"epochs": 1, "learning_rate": 1e-3, "checkpoint_steps": 5})
    stages = {
        "prompts": ["prompts", "load"],
        "collect": ["collect"],
        "curate": ["curate"],
        "train": ["train"],
        "evaluate": ["evaluate"],
    }
    for stage, command in stages.items():
        interrupted(project, stage, command)
        resumed = distil(project, *command)
        assert resumed.returncode == 0, (stage, resumed.stderr)
    assert len((project / "work" / "collect" / "answers.jsonl").read_text().splitlines()) == 400


def test_a_full_disk_is_reported_and_finished_work_is_kept(tmp_path: Path) -> None:
    if (
        not shutil.which("unshare")
        or subprocess.run(["unshare", "-rm", "true"], check=False, capture_output=True).returncode
    ):
        pytest.skip("needs unshare with user namespaces to make a small file system")
    (tmp_path / "made").mkdir()
    write_project(tmp_path / "made", rows=400)
    run = f"{sys.executable} -m distil"
    script = (
        "mount -t tmpfs -o size=1200k tmpfs disk && cp made/*.jsonl made/distil.yaml disk/ && "
        f"{run} prompts load --project disk && {run} collect --project disk; echo code=$?; "
        f"mount -o remount,size=64m disk && {run} collect --project disk && wc -l < disk/work/collect/answers.jsonl"
    )
    (tmp_path / "disk").mkdir()
    text = (tmp_path / "made" / "answers.jsonl").read_text()
    (tmp_path / "made" / "answers.jsonl").write_text(text.replace('"answer', '"answer ' + "word " * 200))
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script],
        cwd=tmp_path,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert "code=1" in done.stdout, (done.stdout, done.stderr)
    assert "Traceback" not in done.stderr and "pace" in done.stderr
    assert done.stdout.split()[-1] == "400"
