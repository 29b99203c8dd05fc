"""`distil train --provider NAME`: the curated examples become a fine-tuning job at a provider, and its model a student.

Writes work/train/NAME/provider.json (what is known of the job, from before the first request on) and the manifest once the model
is there. The same command goes on with a job that is under way. The steps at the provider: calls/fine_tuning/run.py.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from distil import loops
from distil.calls.fine_tuning.offers import Offer, find_offer
from distil.calls.fine_tuning.open import open_fine_tuning
from distil.calls.fine_tuning.run import FineTuningRun, cancel
from distil.calls.ledger.store import Ledger
from distil.errors import Interrupted, UserError, WorkFailed
from distil.models.config import StudentConfig
from distil.models.student_prompt import setting
from distil.progress import dollars, say
from distil.records import FileStamp
from distil.runs.artifacts import Project
from distil.runs.manifest import stage_run
from distil.runs.schemas.notes import TrainNotes
from distil.runs.schemas.provider_job import ProviderJob, SentFile, read_provider_job, save_provider_job
from distil.train.config import TrainConfig
from distil.train.provider.making import SPLITS, Agree, JobMaker


class ProviderResult(NamedTuple):
    """A student that was tuned at a provider."""

    name: str
    job: ProviderJob

    def rows(self) -> list[tuple[str, str]]:
        """For a table."""
        job, serving = self.job, self.job.serving
        paid = "not known yet" if job.usd is None else dollars(job.usd)
        rows = [
            ("student", self.name),
            ("base", f"{job.base} at {job.provider}"),
            ("job", f"{job.job_id} ({job.word or job.state})"),
            ("examples", f"{job.train.examples:,}"),
            ("paid", paid),
        ]
        if serving is not None:
            rows.append(("model", serving.model))
            if serving.dedicated:
                hourly = (
                    "billed by the hour" if serving.usd_per_hour is None else f"{dollars(serving.usd_per_hour)} an hour"
                )
                rows.append(("deployment", f"{hourly} ({serving.source})"))
            rows += [("before it answers", serving.deploy)] if serving.deploy else []
            rows.append(("next", f"distil evaluate {self.name}"))
        return rows


def run(
    project: Project,
    section: TrainConfig,
    student: StudentConfig,
    *,
    name: str,
    provider: str,
    base: str | None = None,
    force: bool = False,
    agree: Agree,
    environ: Mapping[str, str] | None = None,
) -> ProviderResult:
    """Tunes a model at a provider, or goes on with the job of this name. agree: asks the person before anything is sent or paid.

    force: starts another job although there is one. Raises UserError for what is wrong with settings, data, key or model,
    BudgetReached at train.budget_usd, WorkFailed when the provider refuses or the job fails, Interrupted on Ctrl-C.
    """
    offer, path = find_offer(provider), project.provider_job(name)
    _require_free(project, name)
    _require_sft(section, offer)
    _require_whole_prompt(student, offer)
    with stage_run(project, "train", section.model_dump(mode="json"), name) as stage:
        job = read_provider_job(path)
        if job is not None and not force:
            _require_going(job, name, provider)
        here = os.environ if environ is None else environ
        making = JobMaker(project, section, student, offer=offer, name=name, agree=agree, environ=here)
        try:
            job = loops.run(making.go(job, base, force=force))
        except KeyboardInterrupt:
            raise Interrupted(_interrupted(read_provider_job(path), offer, name)) from None
        _require_done(job, offer, name)
        for split in SPLITS:
            file: SentFile | None = getattr(job, split)
            if file is not None:
                stage.read_before(project.split(split), FileStamp(sha256=file.source_sha256, count=file.examples))
        stage.wrote(path)
        stage.usd = job.usd or 0.0
        stage.notes.update(
            TrainNotes(student=student.model_dump(mode="json"), provider=provider, chose=[]).model_dump()
        )
        stage.notes |= {"base": job.base, "job": job.job_id, "remarks": list(job.remarks)}
    return ProviderResult(name, job)


def cancel_job(project: Project, *, name: str, provider: str, environ: Mapping[str, str] | None = None) -> ProviderJob:
    """Stops the job of a student at its provider. Raises UserError when there is none that could be stopped."""
    offer, path = find_offer(provider), project.provider_job(name)
    job = read_provider_job(path)
    if job is None:
        raise UserError(
            f"{name} has no job at a provider ({project.relative(path)} is not there). `distil status` lists the students."
        )
    _require_going(job, name, provider)
    if job.over:
        raise UserError(
            f"The job {job.job_id} of {name!r} is done, so there is nothing to stop. `distil evaluate {name}` asks its model."
        )

    async def stop() -> ProviderJob:
        with Ledger(project.ledger) as ledger:
            async with open_fine_tuning(offer, os.environ if environ is None else environ) as api:
                running = FineTuningRun(
                    api, ledger, path, title=offer.title, write=_no_data, agree=lambda _: False, tell=say
                )
                return await cancel(api, running, job)

    return save_provider_job(path, loops.run(stop()))


def _require_free(project: Project, name: str) -> None:
    """Raises UserError when a student of this name was trained here."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise UserError(
            f"A student can't be called {name!r}: the name becomes a folder. Use letters, digits, '.', '-' and '_'."
        )
    folder = project.stage("train", name)
    if project.model(name).exists() or (folder / "checkpoints").exists():
        raise UserError(
            f"{name!r} is a student that is trained here ({project.relative(folder)}). Give the one at the provider another "
            "name: --as "
            f"{name}-2."
        )


def _require_whole_prompt(student: StudentConfig, offer: Offer) -> None:
    if setting(student.prompt) is not None:
        raise UserError(
            f"student.prompt is written into the chat template of a student that is trained here, and {offer.title} keeps its "
            "own. Set student.prompt: same (a provider's student sees what the teacher saw)."
        )


def _require_sft(section: TrainConfig, offer: Offer) -> None:
    if section.method != "sft":
        raise UserError(
            f"train.method is {section.method}, which needs the teacher's distributions or the student's own texts. "
            f"{offer.title} trains on answers: --set train.method=sft."
        )
    if section.target != "teacher":
        raise UserError("train.target is reference, which only `distil train` here can do. Set train.target: teacher.")
    if section.epochs != int(section.epochs):
        raise UserError(
            f"train.epochs is {section.epochs:g}, and providers train whole epochs: --set "
            f"train.epochs={round(section.epochs) or 1}"
        )


def _require_going(job: ProviderJob, name: str, provider: str) -> None:
    """Raises UserError when the job of this name is another provider's, or ended badly."""
    if job.provider != provider:
        raise UserError(
            f"{name!r} is a job at {job.provider}. Go on with it: distil train --provider {job.provider} --as {name}; or give "
            "this one "
            f"another name: --as {provider}."
        )
    if job.state in ("failed", "cancelled"):
        raise UserError(
            f"The job {job.job_id or job.intent} of {name!r} {_ending(job)}. Nothing is paid for again by itself: --force starts "
            "another."
        )


def _ending(job: ProviderJob) -> str:
    if job.state == "cancelled":
        return "was cancelled"
    return f"failed: {job.error.rstrip('.') or 'the provider gave no reason'}"


def _require_done(job: ProviderJob, offer: Offer, name: str) -> None:
    """Raises WorkFailed when the job ended without a model."""
    if job.state == "succeeded":
        return
    paid = (
        "what it cost is not known, so the most it can be counts against the cap"
        if job.usd is None
        else f"it cost {dollars(job.usd)}"
    )
    raise WorkFailed(
        f"The job {job.job_id} at {offer.title} {_ending(job)}; {paid}. `distil train --provider {offer.name} --as {name} "
        "--force` "
        "starts another."
    )


def _interrupted(job: ProviderJob | None, offer: Offer, name: str) -> str:
    command = f"distil train --provider {offer.name} --as {name}"
    if job is None or job.state in ("intended", "uploaded"):
        return f"Stopped before a job was created: nothing is paid. `{command}` goes on."
    return (
        f"The job {job.job_id or job.intent} goes on at {offer.title} and is paid for. `{command}` follows it again, `{command} "
        "--cancel` stops it."
    )


def _no_data(split: str) -> Path:
    raise AssertionError(f"cancelling sends no {split} data")
