"""Makes the fine-tuning job of a student from the curated data, asks before anything is sent or paid, and hands it on.

The checks and the manifest are in stage.py, the steps at the provider in calls/fine_tuning/run.py.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from distil.calls.fine_tuning.api import Base, FineTuningApi
from distil.calls.fine_tuning.offers import Offer, require_open
from distil.calls.fine_tuning.open import open_account, open_fine_tuning
from distil.calls.fine_tuning.run import FineTuningRun, require_stopped
from distil.calls.ledger.store import Ledger
from distil.errors import UserError
from distil.formats import find_format
from distil.formats.check import Report, check_lines
from distil.formats.convert import convert_rows, reasons
from distil.formats.rows import Line, Row
from distil.formats.tokens import MARGIN
from distil.formats.write import write_file
from distil.ids import file_sha256, now
from distil.models.config import StudentConfig
from distil.progress import dollars, say
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_examples, write_records
from distil.runs.schemas.provider_job import ProviderJob, SentFile, save_provider_job
from distil.runs.schemas.trained import Trained
from distil.train.config import TrainConfig
from distil.train.provider.settings import provider_settings

SPLITS = ("train", "validation")
HOURS_A_MONTH = 730
Agree = Callable[[str], bool]
"""Shows a text that ends in a question; whether the person said yes."""


class JobMaker:
    """Makes the job of a student and follows it."""

    def __init__(
        self,
        project: Project,
        section: TrainConfig,
        student: StudentConfig,
        *,
        offer: Offer,
        name: str,
        agree: Agree,
        environ: Mapping[str, str],
    ) -> None:
        self.project, self.section, self.student = project, section, student
        self.offer, self.name, self.path = offer, name, project.provider_job(name)
        self._agree, self._environ = agree, environ
        self._lines: dict[str, list[Line]] = {}

    async def go(self, job: ProviderJob | None, base: str | None, *, force: bool = False) -> ProviderJob:
        """Goes on with `job`; with a new one where there is none, or where one that is not created yet would be another now.

        force: with a new one in any case, unless it still runs.
        """
        if job is None or force or job.state in ("intended", "uploaded"):
            self._require_offered(self._wanted(job, base))
        async with open_fine_tuning(self.offer, self._environ) as api:
            with Ledger(self.project.ledger) as ledger:
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
                if job is not None and force:
                    await require_stopped(api, running, ledger, job)
                if job is None or force or job.state in ("intended", "uploaded"):
                    job = await self._intended(api, None if force else job, base)
                else:
                    self._say_differences(job, base)
                return await running.go(job)

    async def _intended(self, api: FineTuningApi, job: ProviderJob | None, base: str | None) -> ProviderJob:
        """A new job, or the earlier one where it would be the same."""
        fresh = self._new(await api.base(self._wanted(job, base)))
        if job is not None and _same(job, fresh):
            return job
        for remark in fresh.remarks:
            say(f"- {remark}")
        if not self._agree(self._question(fresh, final=False)):
            raise UserError("Not started: nothing was sent and nothing was paid.")
        return save_provider_job(self.path, fresh)

    def _wanted(self, job: ProviderJob | None, base: str | None) -> str:
        """The name of the model to tune."""
        wanted = base or (job.base if job else None) or self.student.model
        return wanted.removeprefix(f"{self.offer.name}/")

    def _require_offered(self, wanted: str) -> None:
        """Raises UserError where the model is tuned for nobody, or the key is missing: then with what a new account can't do."""
        today = datetime.now(UTC).date()
        require_open(self.offer, wanted, today)
        try:
            open_account(self.offer, self._environ)
        except UserError as error:
            closings = self.offer.warnings(wanted, today)
            said = f" Know before you pay: at {self.offer.title}, {'; '.join(closings)}." if closings else ""
            raise UserError(f"{error}{said}") from None

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
        if split == "train":  # so that it is never tested on them
            learned = map(Trained.of, read_examples(self.project.split(split)))
            write_records(self.project.trained(self.name), learned)
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
    hourly = f"from a deployment at {dollars(offer.usd_per_hour)} an hour, about {month} a month"
    return f"{hourly}, also while idle ({offer.hour_source})"


def _same(job: ProviderJob, fresh: ProviderJob) -> bool:
    """Whether a job that is not created yet would be the same if it were made now."""
    files = [[file.sha256 if file else None for file in (one.train, one.validation)] for one in (job, fresh)]
    return files[0] == files[1] and (job.base, job.settings, job.usd_per_million) == (
        fresh.base,
        fresh.settings,
        fresh.usd_per_million,
    )
