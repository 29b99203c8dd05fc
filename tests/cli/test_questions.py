"""`distil init` in a real terminal: three questions, answered with typos, at 60 and at 120 columns; and without one, none."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pexpect
import pytest

from distil.config import load_config
from distil.runs.artifacts import Project

PROGRAM = [sys.executable, "-m", "distil", "init", "task"]


def talk(folder: Path, columns: int, answers: list[tuple[str, str]], *options: str) -> str:
    """Everything that was shown, after (question, answer) pairs."""
    environment = os.environ | {"COLUMNS": "", "NO_COLOR": "1", "HF_HUB_OFFLINE": "1", "TERM": "xterm"}
    child = pexpect.spawn(
        PROGRAM[0],
        [*PROGRAM[1:], *options],
        cwd=str(folder),
        env={k: v for k, v in environment.items() if v},  # type: ignore[arg-type]
        dimensions=(40, columns),
        timeout=90,
        encoding="utf-8",
    )
    shown = ""
    for question, answer in answers:
        child.expect(question)
        shown += str(child.before) + str(child.after)
        child.sendline(answer)
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0, shown + str(child.before)
    return shown + str(child.before)


@pytest.mark.parametrize("columns", [60, 120])
def test_typos_are_asked_about_again(columns: int, tmp_path: Path) -> None:
    (tmp_path / "questions.csv").write_text("prompt\nhello\nbye\n")
    shown = talk(
        tmp_path,
        columns,
        [
            (r"File or task \[triage\]:", "question.csv"),
            (r"Did\s+you\s+mean\s+'questions.csv'[\s\S]*File or task \[triage\]:", "questions.csv"),
            (r"2 prompts, 0 of them with an answer[\s\S]*Teacher \[openai/gpt-5-mini\]:", "gpt-4.1"),
            (r"Teacher \[openai/gpt-4.1\]:", ""),
            (r"Student \[Qwen/Qwen3-0.6B\]:", "bundled/studnt"),
            (r"Did\s+you\s+mean\s+'student'[\s\S]*Student \[Qwen/Qwen3-0.6B\]:", "bundled/student"),
        ],
    )
    config = load_config(Project(tmp_path / "task"))
    assert config.prompts.path == "../questions.csv" and config.teachers[0].model == "openai/gpt-4.1"
    assert config.student.model == "bundled/student" and config.task == "task"
    assert "plan --project task" in shown
    asked = shown[: shown.rindex("Student [")]
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", asked.replace("\r", "\n"))
    # the lines with an answer are redrawn by readline, the others by the progress bar
    lines = [line for line in plain.split("\n") if not any(mark in line for mark in ("]:", "rows", "Checking"))]
    wide = [line for line in lines if len(line) > columns and len(line.split()) > 1]  # a path is not cut
    assert not wide and "3. Which student" in plain


def test_a_task_with_its_own_models_asks_one_question(tmp_path: Path) -> None:
    talk(tmp_path, 80, [("File or task", "")])
    assert load_config(Project(tmp_path / "task")).teachers[0].model == "bundled/teacher"


def test_what_options_say_is_not_asked(tmp_path: Path) -> None:
    options = ["--template", "chat", "--teacher", "openai/gpt-4.1-mini"]
    shown = talk(tmp_path, 80, [("Student", "bundled/student")], *options)
    assert "File or task" not in shown and "Teacher [" not in shown


def test_yes_asks_nothing(tmp_path: Path) -> None:
    assert "Teacher [" not in talk(tmp_path, 80, [], "--yes")


def test_without_a_terminal_nothing_is_asked(tmp_path: Path) -> None:
    done = subprocess.run(PROGRAM, cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "Teacher [" not in done.stderr
