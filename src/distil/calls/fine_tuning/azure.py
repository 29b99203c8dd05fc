"""Fine-tuning in an Azure resource: OpenAI's jobs by Azure's paths, keys and file states; the model answers from a deployment.

With an api-version in the address, {resource}/openai/fine_tuning/jobs?api-version=DATE, else {resource}/openai/v1/... Sources:
learn.microsoft.com (Foundry: customize a model with fine-tuning; REST reference: files, fine-tuning, models).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from distil.calls.batch.api import Gone, as_count, as_object
from distil.calls.batch.net import Http
from distil.calls.fine_tuning.account import Account
from distil.calls.fine_tuning.api import Base, Order
from distil.calls.fine_tuning.offers import INSTEAD, OFFERS
from distil.calls.fine_tuning.openai import OpenAIFineTuning
from distil.calls.fine_tuning.reading import text_of
from distil.calls.request import JsonObject
from distil.errors import UserError
from distil.runs.schemas.provider_job import Serving


class AzureFineTuning(OpenAIFineTuning):
    """Jobs of one resource. version: its api-version; empty for the v1 path."""

    ready_words = ("processed",)

    def __init__(self, http: Http, account: Account, version: str = "") -> None:
        super().__init__(http, account)
        self.query = {"api-version": version} if version else {}

    async def base(self, name: str) -> Base:
        """A model of Azure says whether it can be tuned, and until when."""
        try:
            found = await self.http.get(f"/models/{name}", **self.query)
        except Gone as error:
            raise UserError(
                f"{self.account.name} has no model {name!r} ({error}). Name a base model with its version, such as "
                f"--base {OFFERS['azure'].example}; not every region tunes every model."
            ) from None
        can = as_object(found.get("capabilities")).get("fine_tune")
        if can is False or text_of(found.get("lifecycle_status")) == "deprecated":
            until = as_count(as_object(found.get("deprecation")).get("fine_tune"))
            ended = f" (training on it ended {_day(until)})" if until else ""
            raise UserError(
                f"{self.account.name} does not tune {name!r} in this resource{ended}. Choose a base model or a region that does: "
                f"--base {OFFERS['azure'].example}. {INSTEAD}"
            )
        return Base(text_of(found.get("id")) or name)

    def body(self, order: Order) -> JsonObject:
        """Dated versions take the hyperparameters at the top; none is documented to take metadata."""
        body = super().body(order)
        del body["metadata"]
        if self.query:
            body["hyperparameters"] = body.pop("method")["supervised"]["hyperparameters"]
        return body

    def serving(self, base: str, model: str) -> Serving:
        """From a deployment that a person makes, under the name that is proposed here."""
        offer = OFFERS["azure"]
        name = re.sub(r"[^A-Za-z0-9-]+", "-", model).strip("-")[-60:].strip("-")
        return Serving(
            model=f"azure/{name}",
            base_url=self.account.serves,
            dedicated=True,
            usd_per_hour=offer.usd_per_hour,
            source=offer.hour_source,
            deploy=f"Deploy {model} under the name {name}: az cognitiveservices account deployment create --name RESOURCE "
            f"--resource-group GROUP --deployment-name {name} --model-name {model} --model-version 1 --model-format OpenAI "
            "--sku-name Standard --sku-capacity 1. It is billed by the hour until it is deleted, also while nobody asks it.",
        )


def _day(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).date().isoformat()
