"""The `$ distil ...` lines of the README and of pages that train are run here, on a tiny model and a recorded teacher.

Those of the other pages are run by test_console.py, which trains nothing.
"""

from __future__ import annotations

import csv
import json
import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import get_args

import pytest

from distil.records import Split
from distil.runs.artifacts import Project
from distil.runs.jsonl import write_records
from distil.runs.manifest import stage_run
from tests import warm
from tests.calls.fine_tuning.shop import examples
from tests.tiny import save_tiny
from tests.wire.fine_tuning_together import TogetherTuning

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *(ROOT / "docs" / f"{name}.md" for name in ("data_formats", "evaluating", "fine_tuning"))]
SERVERS = ("serve",)
ELSEWHERE = "fine_tuning.md"
SETTINGS = (
    "train.epochs=1",
    "train.learning_rate=0.001",
    "curate.test=20",
    "evaluate.ceiling=false",
    "evaluate.latency_prompts=2",
    "serve.risk=0.9",
    "cost.input_tokens=100",
    "cost.output_tokens=20",
)
OPTIONS = [word for setting in SETTINGS for word in ("--set", setting)]


def commands(page: Path) -> Iterator[str]:
    """The console lines of a page."""
    for block in re.findall(r"```console\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                yield line[2:].strip()


def prepare(folder: Path, *, elsewhere: bool = False) -> dict[str, str]:
    """A questions file, recorded answers and a tiny student; the replacements for the model names in the pages' commands.

    elsewhere: the student is not trained here.
    """
    tiny = folder / "tiny" if elsewhere else save_tiny(folder / "tiny")
    with (folder / "questions.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["prompt", "reference"])
        for number in range(60):
            writer.writerow([f"question {number} about subject {number * 7919 % 1000}", f"answer {number % 5}"])
    with (folder / "answers.jsonl").open("w", encoding="utf-8") as file:
        for number in range(60):
            prompt = f"question {number} about subject {number * 7919 % 1000}"
            file.write(json.dumps({"prompt": prompt, "output": f"answer {number % 5}"}) + "\n")
    return {"openai/gpt-5-mini": f"recorded/{folder / 'answers.jsonl'}", "Qwen/Qwen3-0.6B": str(tiny)}


@contextmanager
def provider(page: Path, folder: Path) -> Iterator[dict[str, str]]:
    """The environment of a page's commands; the one on fine-tuning finds curated data, and Together on a loopback server."""
    if page.name != ELSEWHERE:
        yield {}
        return
    project = Project(folder / "mytask")
    with stage_run(project, "curate", {}):
        for split in get_args(Split):
            write_records(project.split(split), examples(split, 20))
    project.config.write_text(
        f"prompts: {{path: {folder}/questions.csv}}\nteachers: [{{model: recorded/{folder}/answers.jsonl}}]\n"
    )
    with TogetherTuning() as server:
        server.steps, server.checks = ("completed",), 0
        yield server.environ


def run(arguments: list[str], folder: Path, environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"} | environ
    options = [] if arguments[0] in ("init", "demo") else OPTIONS
    return subprocess.run(
        [warm.executable(), "-m", "distil", *arguments, *options],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_the_commands_of_a_page_run_in_order(page: Path, tmp_path: Path) -> None:
    replacements = prepare(tmp_path, elsewhere=page.name == ELSEWHERE)
    with provider(page, tmp_path) as environ:
        run_all(page, tmp_path, replacements, environ)


def run_all(page: Path, here: Path, replacements: dict[str, str], environ: dict[str, str]) -> None:
    """The lines of a page, one after the other."""
    for line in commands(page):
        words = shlex.split(line)
        if words[0] == "cd":
            here = here / words[1]
            continue
        assert words[0] == "distil", f"{page.name}: only distil commands are run, found {line!r}"
        words = [replacements.get(word, word) for word in words[1:]]
        done = run([*words, "--help"] if words[0] in SERVERS else words, here, environ)
        # what this student answers is bad, so that nothing is certified: the exit code of a gate that was not reached
        fine = (0, 4) if words[0] == "calibrate" else (0,)
        assert done.returncode in fine, f"{page.name}: `{line}` gave {done.returncode}\n{done.stderr[-2000:]}"
