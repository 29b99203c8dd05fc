"""Fine-tuning at Together: a file, its check, an estimate of the price, a job, its events.

Sources: the types of the together SDK 3.1.1 (FinetuneRequest, finetune_response, finetune_event, fine_tuning_estimate_price_*,
finetune_model_limits, file_response) and docs.together.ai (reference: upload-file, post-fine-tunes). Limits of the base model
come from GET /fine-tunes/models/limits.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from distil.calls.batch.api import Gone, Lost, as_object, as_objects, multipart
from distil.calls.batch.net import Http
from distil.calls.fine_tuning.account import Account
from distil.calls.fine_tuning.api import Base, Estimate, Event, FileState, JobState, Order, Phase
from distil.calls.fine_tuning.offers import OFFERS
from distil.calls.fine_tuning.reading import number, said_of, share_of, text_of
from distil.calls.request import JsonObject
from distil.errors import UserError, WorkFailed
from distil.runs.schemas.provider_job import Serving

PHASES: dict[str, Phase] = {"completed": "succeeded", "error": "failed", "cancelled": "cancelled"}
RUNNING = ("pending", "queued", "running", "compressing", "uploading", "cancel_requested")
WAITING = ("train_file_not_validated", "eval_file_not_validated")
INVALID = {"train_file_invalid": "the training file is invalid", "eval_file_invalid": "the validation file is invalid"}
"""Why there is no estimate (fine_tuning_estimate_price_response); besides, data with images has none."""
ESTIMATES, ESTIMATE_S = 10, 2.0
"""How often it is asked for, and the first pause in seconds; the pauses grow."""
NANO_USD = 1e-9


class TogetherFineTuning:
    """Jobs of one account."""

    def __init__(self, http: Http, account: Account) -> None:
        self.http = http
        self.account = account

    async def base(self, name: str) -> Base:
        """By the limits of the model; there are none for one that is not tuned."""
        try:
            limits = await self.http.get("/fine-tunes/models/limits", model_name=name)
        except Gone as error:
            raise UserError(
                f"Together does not tune {name!r} ({error}). Name a base model of "
                "docs.together.ai/docs/fine-tuning/supported-models, "
                f"such as --base {OFFERS['together'].example}."
            ) from None
        low, high = number(limits.get("min_learning_rate")), number(limits.get("max_learning_rate"))
        rank = number(as_object(limits.get("lora_training")).get("max_rank"))
        epochs, full = number(limits.get("max_num_epochs")), limits.get("supports_full_training")
        return Base(
            text_of(limits.get("model_name")) or name,
            max_epochs=int(epochs) if epochs else None,
            full=full if isinstance(full, bool) else None,
            learning_rates=(low, high) if low is not None and high else None,
            max_rank=int(rank) if rank else None,
        )

    async def find_file(self, name: str) -> str | None:
        """The list is whole."""
        page = await self.http.listing("/files")
        for file in as_objects(page.get("data")):
            if file.get("filename") == name and isinstance(file.get("id"), str):
                return str(file["id"])
        return None

    async def upload(self, path: Path, name: str, examples: int) -> str:
        """One multipart request."""
        made = await self.http.create(
            "/files/upload",
            lambda: {"data": multipart(path, name, purpose="fine-tune", file_name=name, file_type="jsonl")},
        )
        found = made.get("id")
        if not isinstance(found, str):
            raise Lost("the reply names no file")
        return found

    async def file_state(self, file_id: str) -> FileState:
        """The check's report says what is wrong, and in which line."""
        file = await self.http.get(f"/files/{file_id}")
        word, report = text_of(file.get("processing_status")).upper(), as_object(file.get("validation_report"))
        if word in ("INVALID_FORMAT", "FAILED") or report.get("valid") is False:
            return FileState(False, said_of(report.get("error")) or f"its check ended as {word}")
        return FileState(word in ("", "COMPLETED"))

    async def estimate(self, order: Order) -> Estimate | None:
        """POST /fine-tunes/estimate-price; None where Together has no estimate for this data.

        A file that is not validated yet is waited for. Raises WorkFailed when Together refuses one.
        """
        for attempt in range(ESTIMATES):
            found = await self.http.ask_json("/fine-tunes/estimate-price", self._terms(order))
            why = text_of(found.get("unavailable_reason"))
            if why in INVALID:
                raise WorkFailed(
                    f"Together refuses the data: {INVALID[why]}. Nothing was paid. Fix it and use --force."
                )
            if why not in WAITING:
                break
            await asyncio.sleep(min(60.0, ESTIMATE_S * (attempt + 1)))
        price = number(found.get("estimated_total_price"))
        if found.get("estimation_available") is False or price is None:
            return None
        limit = number(found.get("user_limit"))
        refusal = ""
        if found.get("allowed_to_proceed") is False:
            refusal = (
                "the account's credit" + (f" of ${limit:,.2f}" if limit is not None else "") + " does not cover it"
            )
        tokens = number(found.get("estimated_train_token_count"))
        return Estimate(price, int(tokens) if tokens else None, refusal)

    def _terms(self, order: Order) -> JsonObject:
        """What decides the price."""
        settings = order.settings
        body: JsonObject = {
            "training_file": order.train_file,
            "model": order.base,
            "n_epochs": settings["epochs"],
            "training_method": {"method": "sft", "train_on_inputs": "auto"},
        }
        if settings.get("adapter") == "full":
            body["training_type"] = {"type": "Full"}
        elif "lora_rank" in settings:
            body["training_type"] = {
                "type": "Lora",
                "lora_r": settings["lora_rank"],
                "lora_alpha": settings["lora_alpha"],
                "lora_dropout": settings["lora_dropout"],
                "lora_trainable_modules": "all-linear",
            }
        if order.validation_file:
            # Evaluated after each epoch, which is billed, too.
            body |= {"validation_file": order.validation_file, "n_evals": settings["epochs"]}
        return body

    def body(self, order: Order) -> JsonObject:
        """The job. Without a learning rate of the user's, Together's default of 1e-5 holds."""
        settings = order.settings
        body = self._terms(order) | {
            "suffix": order.suffix,
            "batch_size": settings.get("batch_size", "max"),
            "n_checkpoints": 1,
        }
        names = {
            "learning_rate": "learning_rate",
            "warmup": "warmup_ratio",
            "weight_decay": "weight_decay",
            "max_grad_norm": "max_grad_norm",
            "max_length": "max_seq_length",
            "seed": "random_seed",
            "packing": "packing",
        }
        body |= {theirs: settings[ours] for ours, theirs in names.items() if ours in settings}
        if settings.get("schedule") in ("linear", "cosine"):
            args = {"min_lr_ratio": 0.0} | ({"num_cycles": 0.5} if settings["schedule"] == "cosine" else {})
            body["lr_scheduler"] = {"lr_scheduler_type": settings["schedule"], "lr_scheduler_args": args}
        return body

    async def create(self, order: Order) -> str:
        """The suffix holds the intent, and the files are of this order alone."""
        made = await self.http.create("/fine-tunes", json=self.body(order))
        found = made.get("id")
        if not isinstance(found, str):
            raise Lost("the reply names no job")
        return found

    async def find_job(self, order: Order) -> str | None:
        """The list is whole; its jobs name their file."""
        page = await self.http.listing("/fine-tunes")
        for job in as_objects(page.get("data")):
            ours = order.intent in text_of(job.get("suffix")) or job.get("training_file") == order.train_file
            if ours and isinstance(job.get("id"), str):
                return str(job["id"])
        return None

    async def look(self, job_id: str) -> JobState:
        """`progress` has the seconds to the next state."""
        job = await self.http.get(f"/fine-tunes/{job_id}")
        word = text_of(job.get("status")).lower()
        progress = as_object(job.get("progress"))
        left = number(progress.get("seconds_remaining")) if progress.get("estimate_available") is True else None
        price, tokens = number(job.get("total_price")), number(job.get("token_count"))
        last = as_objects(job.get("events"))[-1:]
        return JobState(
            PHASES.get(word, "running"),
            word,
            share=share_of(job.get("epochs_completed"), job.get("n_epochs")),
            left_s=left,
            message=said_of(last[0].get("message")) if last and word == "error" else "",
            model=text_of(job.get("model_output_name")) or None,
            usd=price * NANO_USD if price else None,
            tokens=int(tokens) if tokens else None,
            known=word in PHASES or word in RUNNING,
        )

    async def events(self, job_id: str) -> list[Event]:
        """Oldest first."""
        page = await self.http.listing(f"/fine-tunes/{job_id}/events")
        return [
            Event(
                text_of(event.get("created_at")),
                text_of(event.get("message")),
                share_of(event.get("step"), event.get("total_steps")),
            )
            for event in as_objects(page.get("data"))
        ]

    async def cancel(self, job_id: str) -> None:
        """Completed steps are billed."""
        await self.http.ask(f"/fine-tunes/{job_id}/cancel")

    def serving(self, base: str, model: str) -> Serving:
        """From a dedicated endpoint, by the minute and not by the token."""
        deploy = (
            f"Start a dedicated endpoint for {model} (api.together.ai, Models; or `tg endpoints create --model {model}`). It "
            "is billed by the minute until it is stopped. If the endpoint has another name, give that one: "
            "distil evaluate --answers together/NAME."
        )
        return OFFERS["together"].deployed(model, self.account.serves, deploy)
