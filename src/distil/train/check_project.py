"""The self-check on a project's own student and curated data, for `distil selfcheck`."""

from __future__ import annotations

import shutil
from dataclasses import replace

from distil.models.proofs import Check
from distil.train.job import TrainJob
from distil.train.selfcheck import check_model, check_training
from distil.train.setup import prepare


def check_project(job: TrainJob) -> list[Check]:
    """Loads what the job would train and runs every check on it. Leaves no files."""
    # With one step, the teacher runs on the checked examples only, not on all of them ahead of training.
    job = replace(job, name=".selfcheck", max_steps=1).placed()
    try:
        ready = prepare(job)
        checks = check_model(ready.student, ready.train, job.folder)
        return checks + check_training(ready.trainer, ready.student, ready.train, thorough=True)
    finally:
        shutil.rmtree(job.folder, ignore_errors=True)
