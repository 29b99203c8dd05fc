"""A teacher with another tokenizer: does its distribution teach more than its answers? Bundled teacher, several seeds.

    python benchmarks/crosstokenizer.py [--dir crosstokenizer] [--seeds 3] [--vocabulary 4000]

The student is the bundled one with another tokenizer, learned from the bundled text (second_tokenizer.py), and has not seen the
task. Each method trains it for equally many steps on the same answers, through the product's own stages:

sft    the teacher's answers as text
uld    also the sorted probabilities (Boizard et al. 2024), between groups of tokens with the same bytes
spans  also a divergence over the ids that both spell the same, and the probabilities of whole spans (after GOLD, 2025)
bytes  also a divergence over the next byte of the text and whole spans

Measured on messages with held-out wording: fields of the greedy answer against the teacher's greedy answer and the reference; the
student's code length of the teacher's own samples (bits per byte, nats per answer above the teacher: these need no common
tokenizer); the divergence at merged spans. Differences are paired by seed. Resumes.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path

from methods import ensure, prepare
from onpolicy import older, show
from second_tokenizer import make_student
from triage_measure import Across, Judge

from distil.config import load_config
from distil.models.load import load_tokenizer
from distil.objectives.spans import matched_vocabulary
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_json, write_json
from distil.train.signal.crosstokenizer import TokenBytes

METHODS = {
    "sft": [],
    "uld": ["train.method=logits", "train.cross_tokenizer=uld", "train.temperature=1.0"],
    "spans": ["train.method=logits", "train.cross_tokenizer=spans", "train.temperature=1.0"],
    "bytes": ["train.method=logits", "train.cross_tokenizer=bytes", "train.temperature=1.0"],
}
SHOWN = {
    "teacher": ("fields like the teacher", 100),
    "reference": ("like the reference", 100),
    "whole": ("whole answer like the teacher", 100),
    "bits": ("bits per byte", 1),
    "kl": ("KL per answer", 1),
    "spans": ("KL per span", 1),
}


def describe(student: Path) -> None:
    """Prints how much the two tokenizers have in common."""
    student_tokenizer, teacher_tokenizer = load_tokenizer(str(student)), load_tokenizer("bundled/teacher")
    match = matched_vocabulary(TokenBytes(student_tokenizer).vocabulary(), TokenBytes(teacher_tokenizer).vocabulary())
    print(
        f"student {len(student_tokenizer):,} ids, teacher {len(teacher_tokenizer):,}, "
        f"{len(match.student_ids):,} spelled the same"
    )


class Bench:
    """The project, the judge, and the measurements so far."""

    def __init__(self, root: Path, prompts: int, test: int, on: str, student: Path) -> None:
        self.root, self.on, self.student = root, on, student.resolve()
        self.project = Project(root / "project")
        self.test = test
        config = prepare(self.project, prompts, test)
        for stage in ("prompts", "collect", "curate"):
            ensure(self.project, config, stage)
        self._judge: Judge | None = None

    def arm(self, method: str, seed: int, extra: list[str]) -> Across:
        """Trains a student if it does not exist, and measures it."""
        name = "-".join([method, *(e.split(".", 1)[-1] for e in extra), str(seed)])
        settings = [f"student.model={self.student}", f"train.seed={seed}", *METHODS[method], *extra]
        ensure(self.project, load_config(self.project, settings), "train", name)
        path, model = self.root / "measured" / self.on / f"{name}.json", self.project.model(name)
        if not path.exists() or older(path, model):
            self._judge = self._judge or Judge(self.test, self.on)
            write_json(path, asdict(self._judge.measure_across(model)))
        return Across(**read_json(path))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dir", type=Path, default=Path("crosstokenizer"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--prompts", type=int, default=1500)
    parser.add_argument("--test", type=int, default=400)
    parser.add_argument("--vocabulary", type=int, default=4000)
    parser.add_argument("--steps", type=int, default=1500, help="of the new student on the skills corpus")
    parser.add_argument("--methods", nargs="*", choices=list(METHODS), default=list(METHODS))
    parser.add_argument("--set", nargs="*", default=[], help="additional settings of all methods")
    parser.add_argument("--on", choices=["test", "validation"], default="test", help="validation: wording of training")
    options = parser.parse_args()
    student = options.dir / "student"
    if not (student / "config.json").exists():
        make_student(student, options.vocabulary, options.steps)
    describe(student)
    bench = Bench(options.dir, options.prompts, options.test, options.on, student)
    results: dict[str, list[Across]] = {}
    for seed in range(options.seeds):
        for method in options.methods:
            results.setdefault(method, []).append(bench.arm(method, seed, options.set))
        print(f"after seed {seed}")
        show(results, options.methods[0], SHOWN)


if __name__ == "__main__":
    main()
