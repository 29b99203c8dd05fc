"""What four answers to a prompt hold before anything is trained: on how many prompts they differ, and how often one is right.

    python benchmarks/several_answers.py --dir FOLDER [--data PATH/TO/shared/data] [--prompts 96]

gsm8k: the solutions of four recorded models, and what `curate.choose: reference` keeps of them. Triage: four answers of the
bundled teacher at temperature 0.7, to messages in wordings that it was trained on, and in others. Right is what comes to the
reference.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory

from banking77 import DEFAULT_DATA
from curating import MODELS, WHOLE, answer_of, project_of, prompt_of, right

from distil.bundled.triage import SYSTEM
from distil.bundled.triage.generate import prompt_rows
from distil.config import parse_config
from distil.curate.config import CurateConfig
from distil.curate.evidence.corpus import Pair, describe_corpus
from distil.curate.references import reference
from distil.curate.select import join, read_collected
from distil.curate.stage import run
from distil.pipeline import run_stage
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_examples
from distil.text import answer_key

SAMPLES = 4


def gsm8k(data: Path) -> None:
    """How many problems the best model alone, and the four of them, have a right solution to."""
    text = (data / "gsm8k" / "example_model_solutions.jsonl").read_text(encoding="utf-8")
    rows = {line["question"]: line for line in map(json.loads, text.splitlines())}
    prompts = {asked: prompt_of(asked, line["ground_truth"]) for asked, line in rows.items()}
    answers = [answer_of(prompts[asked], rows[asked][model]["solution"], model) for asked in rows for model in MODELS]
    best = max(sum(line[model]["is_correct"] for line in rows.values()) for model in MODELS)
    with TemporaryDirectory() as folder:
        project = project_of(Path(folder), prompts.values(), answers)
        run(project, CurateConfig.model_validate({"choose": "reference", "filters": [], **WHOLE}), teachers=MODELS)
        kept = list(read_examples(project.split("train")))
    share, count = len(kept) / len(rows), sum(map(right, kept))
    print(
        f"gsm8k: {len(rows):,} problems; the best model alone is right on {best / len(rows):.1%}; choose: reference keeps "
        f"{len(kept):,} ({share:.1%}, {len(kept) / best - 1:+.0%}), {count:,} of them right",
        flush=True,
    )


def triage(folder: Path, wording: str, messages: Iterable[dict[str, str]]) -> None:
    """Four samples of the bundled teacher; resumes."""
    project = Project(folder / wording)
    project.root.mkdir(parents=True, exist_ok=True)
    rows = [{"prompt": row["prompt"], "reference": row["reference"]} for row in messages]
    (project.root / "prompts.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    teacher = {"model": "bundled/teacher", "sampling": {"temperature": 0.7, "max_tokens": 80}}
    sections = {"prompts": {"path": "prompts.jsonl", "system": SYSTEM}, "teachers": [teacher]}
    config = parse_config({**sections, "collect": {"samples": SAMPLES}}, "several_answers")
    for stage in ("prompts", "collect"):
        run_stage(project, config, stage, None)
    pairs = join(*read_collected(project), None)
    found = zip(pairs, reference(pairs, describe_corpus(pairs)), strict=True)
    groups = [list(group) for _, group in groupby(found, key=lambda each: each[0].prompt.id)]
    fits = [[signal is not None and signal.value >= 1 for _, signal in group] for group in groups]
    differ = sum(len({key_of(pair) for pair, _ in group}) > 1 for group in groups)
    print(
        f"triage, {wording} wordings: {differ} of {len(groups)} prompts have different answers; the first is right in "
        f"{sum(each[0] for each in fits) / len(fits):.0%}, any of the {SAMPLES} in {sum(map(any, fits)) / len(fits):.0%}",
        flush=True,
    )


def key_of(pair: Pair) -> str:
    """Equal for equal answers."""
    return str(answer_key(pair.answer.text, pair.answer.tool_calls))


def main() -> None:
    """Prints a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA.parent, help="the folder with gsm8k/")
    parser.add_argument("--dir", type=Path, required=True)
    parser.add_argument("--prompts", type=int, default=96)
    options = parser.parse_args()
    gsm8k(options.data)
    triage(options.dir, "known", prompt_rows(train=options.prompts, test=0, seed=1))
    triage(options.dir, "other", prompt_rows(train=0, test=0, unseen=options.prompts, seed=1))


if __name__ == "__main__":
    main()
