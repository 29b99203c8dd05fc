"""Fine-tuning at Fireworks: a dataset under a name of ours, a job under a name of ours, and a model that needs a deployment.

Both names are chosen here, so that what was sent twice exists once. Sources: the types of the fireworks-ai SDK 1.2.30
(dataset_*, supervised_fine_tuning_job_*, model, account, shared.status) and docs.fireworks.ai (API reference; deploying LoRAs).
A file above 150 MB takes another way (a signed address), which is not taken here.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from distil.calls.batch.api import Gone, as_count, as_object, as_objects, multipart
from distil.calls.batch.net import Exists, Http
from distil.calls.fine_tuning.account import Account
from distil.calls.fine_tuning.api import Base, Estimate, Event, FileState, JobState, Order, Phase
from distil.calls.fine_tuning.offers import OFFERS
from distil.calls.fine_tuning.reading import number, said_of, share_of, text_of
from distil.calls.request import JsonObject
from distil.errors import UserError
from distil.runs.schemas.provider_job import Serving

PHASES: dict[str, Phase] = {
    "completed": "succeeded",
    "early_stopped": "succeeded",
    "failed": "failed",
    "expired": "failed",
    "cancelled": "cancelled",
    "deleting": "cancelled",
    "deleting_cleaning_up": "cancelled",
}
RUNNING = (
    "creating", "running", "writing_results", "validating", "pending", "re_queueing", "creating_input_dataset", "idle",
    "cancelling", "paused", "unspecified",
)  # fmt: skip
SHARED = "accounts/fireworks/models/"
PREFIX = "JOB_STATE_"


class FireworksFineTuning:
    """Jobs of one account. account_id: its name; None = the only one that the key belongs to."""

    def __init__(self, http: Http, account: Account, account_id: str | None = None) -> None:
        self.http = http
        self.account = account
        self._account_id = account_id

    async def _path(self, rest: str) -> str:
        """A path below the account."""
        if self._account_id is None:
            page = await self.http.listing("/v1/accounts")
            names = [text_of(found.get("name")).removeprefix("accounts/") for found in as_objects(page.get("accounts"))]
            if len(names) != 1:
                found = f" ({', '.join(names[:6])})" if names else ""
                raise UserError(
                    f"The key of Fireworks belongs to {len(names)} accounts{found}. Name the one to use: export "
                    "FIREWORKS_ACCOUNT_ID=NAME (app.fireworks.ai shows it)."
                )
            self._account_id = names[0]
        return f"/v1/accounts/{self._account_id}{rest}"

    async def base(self, name: str) -> Base:
        """`tunable` says whether it can be tuned. A bare name is one of Fireworks' own models."""
        path = name if name.startswith("accounts/") else SHARED + slug(name)
        try:
            model = await self.http.get(f"/v1/{path}")
        except Gone as error:
            raise UserError(
                f"Fireworks has no model {path!r} ({error}). Name a base model of its library (filter: tunable), such as "
                f"--base {OFFERS['fireworks'].example}."
            ) from None
        details = as_object(model.get("baseModelDetails"))
        if not (model.get("tunable") is True or details.get("tunable") is True):
            raise UserError(
                f"Fireworks does not tune {path!r}. Name a base model of its library (filter: tunable), such as --base "
                f"{OFFERS['fireworks'].example}."
            )
        return Base(text_of(model.get("name")) or path, as_count(details.get("parameterCount")) or None, full=False)

    async def find_file(self, name: str) -> str | None:
        """A dataset that is there but not ready holds no whole file: it is sent again, into the same dataset."""
        try:
            dataset = await self.http.get(await self._path(f"/datasets/{dataset_id(name)}"))
        except Gone:
            return None
        return dataset_id(name) if dataset.get("state") == "READY" else None

    async def upload(self, path: Path, name: str, examples: int) -> str:
        """Creates the dataset where it is not there, and sends its file."""
        found = dataset_id(name)
        dataset = {"displayName": name, "exampleCount": str(examples), "format": "CHAT", "userUploaded": {}}
        with contextlib.suppress(Exists):  # from a run that was killed after it
            await self.http.create(
                await self._path("/datasets"), json={"datasetId": found, "dataset": dataset}, exists=True
            )
        await self.http.create(await self._path(f"/datasets/{found}:upload"), lambda: {"data": multipart(path, name)})
        return found

    async def file_state(self, file_id: str) -> FileState:
        """READY once it is checked."""
        dataset = await self.http.get(await self._path(f"/datasets/{file_id}"))
        status = as_object(dataset.get("status"))
        if status.get("code") not in (None, "OK", 0):
            return FileState(False, said_of(status.get("message")) or text_of(status.get("code")))
        return FileState(dataset.get("state") == "READY")

    async def estimate(self, order: Order) -> Estimate | None:
        """There is none before the job exists."""
        return None

    async def body(self, order: Order) -> JsonObject:
        """The job, named after the intent."""
        settings = order.settings
        account = await self._path("")
        body: JsonObject = {
            "dataset": f"{account.removeprefix('/v1/')}/datasets/{order.train_file}",
            "baseModel": order.base,
            "outputModel": f"{account.removeprefix('/v1/')}/models/{order.suffix}",
            "displayName": order.suffix,
            "epochs": settings["epochs"],
        }
        names = {
            "learning_rate": "learningRate",
            "lora_rank": "loraRank",
            "max_length": "maxContextLength",
            "batch_size": "batchSizeSamples",
            "weight_decay": "optimizerWeightDecay",
        }
        body |= {theirs: settings[ours] for ours, theirs in names.items() if ours in settings}
        if order.validation_file:
            body["evaluationDataset"] = f"{account.removeprefix('/v1/')}/datasets/{order.validation_file}"
        return body

    async def create(self, order: Order) -> str:
        """Its id is ours, so a second request for it finds the first."""
        found = job_name(order)
        try:
            await self.http.create(
                await self._path("/supervisedFineTuningJobs"),
                json=await self.body(order),
                params={"supervisedFineTuningJobId": found},
                exists=True,
            )
        except Exists as error:
            if await self.find_job(order) is None:
                raise UserError(
                    f"Fireworks says that {order.suffix} exists already ({error}), and this project did not make it. Choose "
                    "another "
                    "name: --as NAME."
                ) from None
        return found

    async def find_job(self, order: Order) -> str | None:
        """By its name."""
        try:
            await self.http.get(await self._path(f"/supervisedFineTuningJobs/{job_name(order)}"))
        except Gone:
            return None
        return job_name(order)

    async def look(self, job_id: str) -> JobState:
        """`estimatedCost` is Google's money: whole units as text, and billionths."""
        job = await self.http.get(await self._path(f"/supervisedFineTuningJobs/{job_id}"))
        word = text_of(job.get("state")).removeprefix(PREFIX).lower()
        cost = as_object(job.get("estimatedCost"))
        usd = (number(cost.get("units")) or 0.0) + (number(cost.get("nanos")) or 0.0) * 1e-9
        status = as_object(job.get("status"))
        return JobState(
            PHASES.get(word, "running"),
            word,
            share=share_of(as_object(job.get("jobProgress")).get("percent"), 100),
            message=said_of(status.get("message"))
            or (text_of(status.get("code")) if PHASES.get(word) == "failed" else ""),
            model=text_of(job.get("outputModel")) or None,
            usd=usd or None,
            known=word in PHASES or word in RUNNING,
        )

    async def events(self, job_id: str) -> list[Event]:
        """Fireworks keeps no log of events."""
        return []

    async def cancel(self, job_id: str) -> None:
        """Stops it."""
        await self.http.ask_json(await self._path(f"/supervisedFineTuningJobs/{job_id}:cancel"), {})

    def serving(self, base: str, model: str) -> Serving:
        """From a deployment, by the GPU second and not by the token."""
        deploy = f"Deploy it: firectl create deployment {model}. It is billed by the GPU second until it is deleted."
        return OFFERS["fireworks"].deployed(model, self.account.serves, deploy)


def slug(name: str) -> str:
    """Qwen/Qwen3-0.6B -> qwen3-0p6b, as Fireworks names its models."""
    return name.rpartition("/")[2].lower().replace(".", "p")


def dataset_id(name: str) -> str:
    """The dataset of a file's name: no dots."""
    return name.rpartition(".")[0] or name


def job_name(order: Order) -> str:
    """The job of an order."""
    return f"distil-{order.intent}"
