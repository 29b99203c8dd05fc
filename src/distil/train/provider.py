"""`distil train --provider NAME`: the curated examples become a fine-tuning job at a provider, and its model a student.

Writes work/train/NAME/provider.json (what is known of the job, from before the first request on) and the manifest once the model
is there. The same command goes on with a job that is under way. The steps at the provider: calls/fine_tuning/run.py.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from distil.calls.fine_tuning.api import Base, FineTuningApi
from distil.calls.fine_tuning.offers import Offer, find_offer, require_open
from distil.calls.fine_tuning.open import open_fine_tuning
from distil.calls.fine_tuning.run import FineTuningRun, cancel
from distil.calls.ledger.store import Ledger
from distil.errors import Interrupted, UserError, WorkFailed
from distil.formats import find_format
from distil.formats.check import Report, check_lines
from distil.formats.convert import convert_rows, reasons
from distil.formats.rows import Line, Row
from distil.formats.tokens import MARGIN
from distil.formats.write import write_file
from distil.ids import file_sha256, now
from distil.models.config import StudentConfig
from distil.progress import dollars, say
from distil.records import FileStamp
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_examples
from distil.runs.manifest import stage_run
from distil.runs.schemas.notes import TrainNotes
from distil.runs.schemas.provider_job import ProviderJob, SentFile, read_provider_job, save_provider_job
from distil.train.config import TrainConfig
from distil.train.provider_settings import provider_settings

SPLITS = ("train", "validation")
HOURS_A_MONTH = 730
Agree = Callable[[str], bool]
"""Shows a text that ends in a question; whether the person said yes."""


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
    with stage_run(project, "train", section.model_dump(mode="json"), name) as stage:
        job = read_provider_job(path)
        if job is not None and not force:
            _require_going(job, name, provider)
        making = _Making(
            project, section, student, offer, name, path, agree, os.environ if environ is None else environ
        )
        try:
            job = asyncio.run(making.go(None if force else job, base))
        except KeyboardInterrupt:
            raise Interrupted(_interrupted(read_provider_job(path), offer, name)) from None
        _require_done(job, offer, name)
        for split in SPLITS:
            file: SentFile | None = getattr(job, split)
            if file is not None:
                stage.read_before(project.split(split), FileStamp(sha256=file.source_sha256, count=file.examples))
        stage.wrote(path)
        stage.usd = job.usd or 0.0
        stage.notes.update(TrainNotes(student=student.model_dump(mode="json"), provider=provider).model_dump())
        stage.notes |= {"base": job.base, "job": job.job_id, "remarks": list(job.remarks)}
    return ProviderResult(name, job)


def cancel_job(project: Project, *, name: str, provider: str, environ: Mapping[str, str] | None = None) -> ProviderJob:
    """Stops the job of a student at its provider. Raises UserError when there is none that could be stopped."""
    offer, path = find_offer(provider), project.provider_job(name)
    job = read_provider_job(path)
    if job is None:
        raise UserError(
            f"{name} is no job at a provider ({project.relative(path)} is not there). `distil status` lists the students."
        )
    _require_going(job, name, provider)

    async def stop() -> ProviderJob:
        with Ledger(project.ledger) as ledger:
            async with open_fine_tuning(offer, os.environ if environ is None else environ) as api:
                running = FineTuningRun(
                    api, ledger, path, title=offer.title, write=_no_data, agree=lambda _: False, tell=say
                )
                return await cancel(api, running, job)

    return save_provider_job(path, asyncio.run(stop()))


class _Making:
    """Makes the job of a student and follows it."""

    def __init__(
        self,
        project: Project,
        section: TrainConfig,
        student: StudentConfig,
        offer: Offer,
        name: str,
        path: Path,
        agree: Agree,
        environ: Mapping[str, str],
    ) -> None:
        self.project, self.section, self.student = project, section, student
        self.offer, self.name, self.path = offer, name, path
        self._agree, self._environ = agree, environ
        self._lines: dict[str, list[Line]] = {}

    async def go(self, job: ProviderJob | None, base: str | None) -> ProviderJob:
        """Goes on with `job`; with a new one where there is none, or where one that is not created yet would be another now."""
        async with open_fine_tuning(self.offer, self._environ) as api:
            with Ledger(self.project.ledger) as ledger:
                if job is None or job.state in ("intended", "uploaded"):
                    job = await self._intended(api, job, base)
                else:
                    self._say_differences(job, base)
                running = FineTuningRun(
                    api,
                    ledger,
                    self.path,
                    title=self.offer.title,
                    write=self._write,
                    agree=lambda priced: self._agree(self._question(priced, final=True)),
                    tell=say,
                    cap_usd=self.section.budget_usd,
                )
                return await running.go(job)

    async def _intended(self, api: FineTuningApi, job: ProviderJob | None, base: str | None) -> ProviderJob:
        """A new job, or the earlier one where it would be the same."""
        wanted = base or (job.base if job else None) or self.student.model
        wanted = wanted.removeprefix(f"{self.offer.name}/")
        require_open(self.offer, wanted, datetime.now(UTC).date())
        fresh = self._new(await api.base(wanted))
        if job is not None and _same(job, fresh):
            return job
        for remark in fresh.remarks:
            say(f"- {remark}")
        if not self._agree(self._question(fresh, final=False)):
            raise UserError("Not started: nothing was sent and nothing was paid.")
        return save_provider_job(self.path, fresh)

    def _new(self, base: Base) -> ProviderJob:
        """What would be sent. Raises UserError when the provider would refuse it."""
        intent = os.urandom(6).hex()
        files, reports = {}, {}
        for split in SPLITS:
            lines, report = self._convert(split)
            if lines:
                files[split] = self._as_file(split, intent, lines, report)
                reports[split] = report
        settings, remarks = provider_settings(self.offer, base, self.section, self.student)
        epochs, tokens = int(self.section.epochs), reports["train"].tokens
        price = self.section.usd_per_million_tokens
        source = "train.usd_per_million_tokens"
        if price is None:
            found = self.offer.training_price(base.name, base.parameters)
            price, source = (found.usd if found else None), self.offer.price_source
        if price is None and not self.offer.estimates:
            raise UserError(
                f"What {self.offer.title} takes for training {base.name} is not in Distil's table. Look it up ({source}) and "
                "say it in "
                "dollars per million tokens: --set train.usd_per_million_tokens=..."
            )
        usd = None if price is None else price * tokens * epochs / 1e6
        slug = re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")[:20].strip("-")
        return ProviderJob(
            provider=self.offer.name,
            base=base.name,
            intent=intent,
            suffix=f"distil-{slug}-{intent}".replace("--", "-"),
            state="intended",
            created=now(),
            train=files["train"],
            validation=files.get("validation"),
            tokens=tokens,
            epochs=epochs,
            settings=settings,
            remarks=tuple(remarks),
            usd_per_million=price,
            estimate_usd=usd,
            most_usd=0.0 if usd is None else usd * MARGIN,
            price_source=source,
        )

    def _convert(self, split: str) -> tuple[list[Line], Report]:
        """The lines of a split in the provider's format, checked; none where there is no validation split."""
        path, form = self.project.split(split), find_format(self.offer.name)
        examples = list(read_examples(path)) if split == "train" or path.exists() else []
        if split == "validation":
            examples = examples[: self.section.validation_examples]
        done = convert_rows(form, map(Row.of, examples))
        for reason, count in reasons(done.left_out).items():
            say(f"- {count:,} of {len(examples):,} {split} examples are left out: {reason}")
        report = check_lines(form, done.lines, "train" if split == "train" else "validation")
        if split == "train" or done.lines:
            report.require(f"The data of {self.project.relative(path)}")
        most = self.offer.max_upload
        if most is not None and report.bytes > most:
            raise UserError(
                f"The data of {self.project.relative(path)} has {report.bytes / 2**20:,.0f} MiB in {self.offer.title}'s "
                "format, and one "
                f"upload takes {most / 2**20:,.0f} MiB. Train on less: --set curate.keep=N, then `distil curate`."
            )
        for warning in report.warnings:
            say(f"- {split}: {warning}")
        self._lines[split] = done.lines
        return done.lines, report

    def _as_file(self, split: str, intent: str, lines: list[Line], report: Report) -> SentFile:
        """What the file will be: it is written here once and deleted, so that its hash is that of the bytes."""
        path = self._write(split)
        try:
            sha = file_sha256(path)
        finally:
            path.unlink(missing_ok=True)
        return SentFile(
            name=f"distil-{intent}-{split}.jsonl",
            source_sha256=file_sha256(self.project.split(split)),
            sha256=sha,
            size=report.bytes,
            examples=len(lines),
        )

    def _write(self, split: str) -> Path:
        """The split's data file, as it is sent."""
        if split not in self._lines:
            self._convert(split)
        path = self.path.with_name(f"{split}.upload.jsonl")
        write_file(find_format(self.offer.name), path, self._lines[split])
        return path

    def _question(self, job: ProviderJob, *, final: bool) -> str:
        """What a person should know before saying yes."""
        offer = self.offer
        lines = [f"! {warning}" for warning in offer.warnings(job.base, datetime.now(UTC).date())] if not final else []
        size = f"{job.train.examples:,} examples, about {job.tokens:,} tokens, {job.epochs} epochs"
        lines.append(f"{offer.title} tunes {job.base} on {size}.")
        if job.estimate_usd is None:
            lines.append(f"Price: {job.price_source}. Sending the data costs nothing; you are asked again.")
        else:
            most = f", at most {dollars(job.most_usd)}" if job.most_usd > job.estimate_usd else ""
            lines.append(f"Price: about {dollars(job.estimate_usd)}{most} ({job.price_source}).")
        lines.append(f"Serving it: {_hosting(offer)}.")
        action = (
            "Start and pay for the job?"
            if final
            else "Send the data?"
            if job.estimate_usd is None
            else "Send the data and start?"
        )
        return "\n".join([*lines, action])

    def _say_differences(self, job: ProviderJob, base: str | None) -> None:
        """A job that is created is not changed any more: what is new waits for another."""
        changed = []
        if base is not None and base.removeprefix(f"{self.offer.name}/") not in (job.base, job.base.rpartition("/")[2]):
            changed.append(f"--base {base} (it tunes {job.base})")
        path = self.project.split("train")
        if not path.exists() or file_sha256(path) != job.train.source_sha256:
            changed.append("the training data")
        if changed:
            say(
                f"The job {job.job_id or job.intent} goes on as it was created; what has changed since does not count for it: "
                f"{' and '.join(changed)}."
            )


def _hosting(offer: Offer) -> str:
    if not offer.dedicated:
        return "by the token, no deployment"
    if offer.usd_per_hour is None:
        return f"from a deployment that is billed by the hour, also while idle ({offer.hour_source})"
    month = dollars(offer.usd_per_hour * HOURS_A_MONTH)
    return f"from a deployment at {dollars(offer.usd_per_hour)} an hour, about {month} a month, also while idle "
    f"({offer.hour_source})"


def _same(job: ProviderJob, fresh: ProviderJob) -> bool:
    """Whether a job that is not created yet would be the same if it were made now."""
    files = [[file.sha256 if file else None for file in (one.train, one.validation)] for one in (job, fresh)]
    return files[0] == files[1] and (job.base, job.settings, job.usd_per_million) == (
        fresh.base,
        fresh.settings,
        fresh.usd_per_million,
    )


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


def _require_sft(section: TrainConfig, offer: Offer) -> None:
    if section.method != "sft":
        raise UserError(
            f"train.method is {section.method}, which needs the teacher's distributions at every step. {offer.title} trains "
            "on answers: "
            "--set train.method=sft."
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
