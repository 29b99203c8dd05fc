"""The whole of `distil curate` at scale: CPU seconds and peak memory of one process.

    python benchmarks/curate_scale.py --data DIR                                  # 100,000 rows
    python benchmarks/curate_scale.py --data DIR --rows 10000 --template 4000     # 4,000 of them from one template

Prompts are those of near_duplicates.py (made-up words, 6% near copies); answers are sentences of alpaca_eval's GPT-4 answers,
put together again to about 340 characters. --keep FOLDER leaves the project there, to compare its files.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from near_duplicates import made_up

from distil.ids import content_id
from distil.records import Answer, Message, Prompt, Sampling
from distil.runs.artifacts import Project
from distil.runs.jsonl import write_records

CHARACTERS = 340


def answers_of(data: Path, count: int, rng: np.random.Generator) -> Iterator[str]:
    """Texts of real sentences."""
    lines = (data / "alpaca_eval/gpt4.jsonl").read_text(encoding="utf-8").splitlines()
    texts = [json.loads(line)["output"] for line in lines]
    sentences = [part for text in texts for part in re.split(r"(?<=[.!?])\s+", text) if 10 < len(part) < CHARACTERS]
    for _ in range(count):
        said: list[str] = []
        while sum(map(len, said)) < CHARACTERS:
            said.append(sentences[int(rng.integers(len(sentences)))])
        yield " ".join(said)[: CHARACTERS + 60]


def make(folder: Path, data: Path, rows: int, template: int) -> Project:
    """A project whose answers are collected."""
    rng = np.random.default_rng(0)
    project = Project(folder)
    texts = list(dict.fromkeys(made_up(rows, template, rng)))
    prompts = [Prompt.make([Message(role="user", content=text)]) for text in texts]
    write_records(project.prompts, prompts)
    said = answers_of(data, len(prompts), rng)
    write_records(
        project.answers,
        (
            Answer(
                id=content_id("answer", [prompt.id]),
                prompt_id=prompt.id,
                teacher="recorded",
                sampling=Sampling(),
                text=text,
                finish_reason="stop",
                call_id="recorded",
            )
            for prompt, text in zip(prompts, said, strict=True)
        ),
    )
    return project


RUN = """
import sys
from pathlib import Path
from distil.curate.config import CurateConfig
from distil.curate.stage import run
from distil.runs.artifacts import Project
for name, value in run(Project(Path(sys.argv[1])), CurateConfig()).rows():
    print(f"{name}: {value}")
"""


def main() -> None:
    """Prints what the stage says, and what it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("DISTIL_DATA", "data")))
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--template", type=int, default=0)
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        project = make(folder, options.data, options.rows, options.template)
        one_thread = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
        subprocess.run([sys.executable, "-c", RUN, str(project.root)], check=True, env=os.environ | one_thread)
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"{used.ru_utime + used.ru_stime:.1f} CPU s, peak {used.ru_maxrss / 1e3:,.0f} MB")


if __name__ == "__main__":
    main()
