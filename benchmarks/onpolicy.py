"""Does on-policy distillation (GKD) improve a student more than further fine-tuning? The bundled models, several seeds.

    python benchmarks/onpolicy.py [--dir onpolicy] [--seeds 3] [--arms sft logits on-policy]

One student per seed learns from the teacher's sampled answers (SFT). Then every arm continues from it for equally many steps over
as many examples, at one learning rate, through the product's own stages:

equal prompts  the same prompts again: SFT, logits off-policy, GKD with half of the texts from the student (JSD), and all of them
               (reverse KL).
more prompts   four times as many prompts, each seen once. On-policy needs no answers for them; SFT and logits get the teacher's.

Measured on messages with held-out wording: fields of the greedy answer against the teacher's own greedy answer and against the
reference; on the student's own samples at temperature 1, KL(student || teacher) in nats per answer and how often the teacher
would have chosen the same token. Differences are paired by seed. Resumes: trained students and measurements are reused.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from methods import ensure, prepare
from triage_measure import Judge, Measured

from distil.config import load_config
from distil.evaluate.stats import mean_interval
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_json, write_json

LOGITS = ["train.method=logits", "train.temperature=1.0"]
HALF = ["train.method=on_policy", "train.temperature=1.0", "train.on_policy_share=0.5", "train.divergence=jsd"]
WHOLE = ["train.method=on_policy", "train.temperature=1.0", "train.on_policy_share=1.0"]
ARMS: dict[str, tuple[str, list[str]]] = {
    "sft": ("equal", []),
    "logits": ("equal", LOGITS),
    "on-policy half jsd": ("equal", HALF),
    "on-policy all rkl": ("equal", [*WHOLE, "train.divergence=reverse_kl"]),
    "sft, more": ("more", []),
    "logits, more": ("more", LOGITS),
    "on-policy all jsd, more": ("more", [*WHOLE, "train.divergence=jsd"]),
}
"""name -> (which prompts, settings)."""
SHOWN = {
    "teacher": ("fields like the teacher", 100),
    "reference": ("like the reference", 100),
    "whole": ("whole answer like the teacher", 100),
    "kl": ("KL per answer", 1),
    "agreement": ("same top token", 100),
}


class Bench:
    """The two projects, the judge, and the measurements so far."""

    def __init__(self, root: Path, prompts: int, more: int, test: int, on: str) -> None:
        self.root, self.on = root, on
        self.projects = {"equal": Project(root / "equal"), "more": Project(root / "more")}
        self.prompts, self.more, self.test = prompts, more, test
        self._judge: Judge | None = None

    def project(self, which: str) -> Project:
        """The project of this name, with answers collected and curated."""
        project = self.projects[which]
        config = prepare(project, self.prompts if which == "equal" else self.more, self.test)
        for stage in ("prompts", "collect", "curate"):
            ensure(project, config, stage)
        return project

    def measured(self, which: str, name: str) -> Measured:
        """The measurements of a trained student, reused where they are newer than the model."""
        path, model = self.root / "measured" / self.on / f"{which}-{name}.json", self.projects[which].model(name)
        if not path.exists() or older(path, model):
            self._judge = self._judge or Judge(self.test, self.on)
            write_json(path, asdict(self._judge.measure(model)))
        return Measured(**read_json(path))

    def train(self, which: str, name: str, settings: list[str]) -> Measured:
        """Trains a student if it does not exist, and measures it."""
        project = self.project(which)
        ensure(project, load_config(project, settings), "train", name)
        return self.measured(which, name)

    def arm(self, arm: str, seed: int, examples: int, rate: float, extra: list[str]) -> Measured:
        """Continues the SFT student of this seed over about `examples` examples."""
        which, settings = ARMS[arm]
        rows = sum(1 for _ in self.project(which).split("train").open(encoding="utf-8"))
        start = self.projects["equal"].model(f"start-{seed}").resolve()
        name = "-".join([arm.replace(",", "").replace(" ", "-"), *(e.split(".", 1)[-1] for e in extra), str(seed)])
        common = [f"student.model={start}", f"train.seed={100 + seed}", f"train.epochs={examples / rows:.4f}"]
        return self.train(which, name, [*common, f"train.learning_rate={rate}", *settings, *extra])


def older(path: Path, model: Path) -> bool:
    """Whether a measurement is older than the current model."""
    return path.stat().st_mtime < (model / "config.json").stat().st_mtime


def show(results: Mapping[str, Sequence[Any]], against: str, columns: Mapping[str, tuple[str, int]]) -> None:
    """A Markdown table: each arm's mean with its 95% interval over seeds, and its difference to `against`, paired by seed.

    columns: field -> (heading, 100 for shares that are shown in percent).
    """
    print(f"| | {' | '.join(f'{heading} | vs {against}' for heading, _ in columns.values())} |")
    print("|---|" + "---:|---:|" * len(columns))
    for arm, rows in results.items():
        cells = []
        for field, (_, scale) in columns.items():
            values, base = ([getattr(row, field) * scale for row in side] for side in (rows, results[against]))
            difference = [a - b for a, b in zip(values, base, strict=True)]
            cells += [_interval(values, scale), "" if arm == against else _interval(difference, scale, signed=True)]
        print(f"| {arm} | {' | '.join(cells)} |")


def _interval(values: list[float], scale: int, *, signed: bool = False) -> str:
    estimate = mean_interval(values)
    digits = 1 if scale == 100 else 3
    half = "" if math.isnan(estimate.low) else f" ± {estimate.mean - estimate.low:.{digits}f}"
    return f"{estimate.mean:{'+' if signed else ''}.{digits}f}{half}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dir", type=Path, default=Path("onpolicy"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--prompts", type=int, default=1500)
    parser.add_argument("--more", type=int, default=6000)
    parser.add_argument("--test", type=int, default=400)
    parser.add_argument("--examples", type=int, default=2400, help="examples of each continuation, repeats counted")
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--arms", nargs="*", choices=list(ARMS), default=list(ARMS))
    parser.add_argument("--set", nargs="*", default=[], help="additional settings of all arms")
    parser.add_argument("--on", choices=["test", "validation"], default="test", help="validation: wording of training")
    options = parser.parse_args()
    bench = Bench(options.dir, options.prompts, options.more, options.test, options.on)
    results: dict[str, list[Measured]] = {}
    for seed in range(options.seeds):
        start = bench.train("equal", f"start-{seed}", [f"train.seed={seed}"])
        results.setdefault("student after SFT", []).append(start)
        for arm in options.arms:
            extra = [*options.set, *([] if options.rate == 1e-3 else [f"train.learning_rate={options.rate}"])]
            results.setdefault(arm, []).append(bench.arm(arm, seed, options.examples, options.rate, extra))
        print(f"after seed {seed}")
        show(results, options.arms[0], SHOWN)


if __name__ == "__main__":
    main()
