"""Baseline, SFT and logit distillation at equal tokens over several seeds: which wins on unseen messages, and by how much?

    python benchmarks/methods.py [--dir methods] [--seeds 3] [--prompts 1500]

Same student, same prompts, equal training tokens (the same examples for as many epochs; only the answers differ, by a token or
so). The baseline learns the references, SFT the teacher's sampled answers, logits also its distributions (T = 2, 0.7 / 0.3).
Accuracy is of the fields, greedy, against the references. Seeds change the data order; the teacher's samples stay the same.
Resumes: trained students are reused.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

from distil.bundled.triage import SYSTEM, write_prompts
from distil.collect import stage as collect
from distil.config import Config, load_config, parse_config
from distil.config_file import write_config
from distil.evaluate.stats import mean_interval
from distil.pipeline import run_stage
from distil.runs.artifacts import Project
from distil.runs.schemas.summary import Summary, read_summary
from distil.stage_states import step_state

METHODS = {"baseline": ["train.target=reference"], "sft": [], "logits": ["train.method=logits"]}


def prepare(project: Project, prompts: int, test: int, **train: object) -> Config:
    """A project with the bundled teacher in this process; no network requests. train: settings that differ."""
    if not project.config.exists():
        config = parse_config(
            {
                "task": "methods",
                "prompts": {"path": "prompts.jsonl", "system": SYSTEM},
                "teachers": [{"model": "bundled/teacher", "sampling": {"temperature": 0.7, "max_tokens": 80}}],
                "curate": {"test": test},
                "student": {"model": "bundled/student"},
                "train": {"epochs": 4, "learning_rate": 2.0e-3, "batch_size": 16, **train},
                "evaluate": {"latency_prompts": 0},
            },
            "methods",
        )
        project.root.mkdir(parents=True, exist_ok=True)
        write_prompts(project.root / "prompts.jsonl", train=prompts, test=0, unseen=test)
        project.config.write_text(write_config(config), encoding="utf-8")
    return load_config(project)


def some_answered(project: Project, config: Config, answers: int) -> None:
    """The teacher's answers to so many of the prompts, curated."""
    ensure(project, config, "prompts")
    if not project.answers.exists():
        collect.run(project, config.collect, config.teachers, limit=answers)
    ensure(project, config, "curate")


def ensure(project: Project, config: Config, stage: str, name: str | None = None) -> None:
    """Runs a stage unless it is up to date."""
    if step_state(project, config, stage, name).state != "done":
        print(f"{stage} {name or ''}", flush=True)
        run_stage(project, config, stage, name)


def trained(project: Project, method: str, seed: int) -> Summary:
    """The evaluation of one method with one seed; trains the student if it does not exist."""
    name = f"{method}-{seed}"
    config = load_config(project, [*METHODS[method], f"train.seed={seed}"])
    ensure(project, config, "train", name)
    ensure(project, config, "evaluate", name)
    return read_summary(project.stage("evaluate", name) / "summary.json")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dir", type=Path, default=Path("methods"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--prompts", type=int, default=1500)
    parser.add_argument("--test", type=int, default=500)
    options = parser.parse_args()
    project = Project(options.dir)
    config = prepare(project, options.prompts, options.test)
    for stage in ("prompts", "collect", "curate"):
        ensure(project, config, stage)
    results = {method: [trained(project, method, seed) for seed in range(options.seeds)] for method in METHODS}
    teacher = next(iter(results.values()))[0].models["teacher"]["field_accuracy"].mean
    print(f"\nteacher    field accuracy {teacher:.1%} on {options.test} unseen messages")
    print(f"{'method':10} {'field accuracy (mean, 95% over seeds)':40} {'of teacher':>10} {'similarity':>10}   seeds")
    for method, summaries in results.items():
        values = [s.models[s.name]["field_accuracy"].mean for s in summaries]
        similarity = sum(s.models[s.name]["similarity"].mean for s in summaries) / len(summaries)
        estimate = mean_interval(values)
        half = 0.0 if math.isnan(estimate.low) else estimate.mean - estimate.low
        shown = f"{estimate.mean:.1%} ± {half:.1%}"
        each = ", ".join(f"{v:.1%}" for v in values)
        print(f"{method:10} {shown:40} {estimate.mean / teacher:10.1%} {similarity:10.3f}   {each}")


if __name__ == "__main__":
    main()
