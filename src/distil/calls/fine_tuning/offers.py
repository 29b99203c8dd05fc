"""Who fine-tunes what, at which price, how the result is served, and until when: one table. Nothing is sent here.

Prices and dates carry their source and the day they were read; a price that no source states is None and never 0. The limits of
the data files are those of distil.formats.
"""

from __future__ import annotations

import re
from datetime import date
from typing import NamedTuple

from distil.errors import UserError, did_you_mean
from distil.runs.schemas.provider_job import Serving

READ = "2026-11-29"


class Closing(NamedTuple):
    """A day after which something is no longer offered."""

    day: str
    """ISO."""
    what: str
    """A clause for a person: `... are closed to ...`."""
    models: str = ""
    """A regular expression for the base models that it concerns; empty: all."""
    sure: bool = True
    """It holds for every account: nothing is sent after that day. False: it depends on the account, so it is only said."""
    source: str = ""


class TrainingPrice(NamedTuple):
    """Dollars per million tokens of training, all epochs counted."""

    usd: float
    models: str = ""
    """A regular expression for the base models that it holds for; empty: those of `up_to`."""
    above: float = 0.0
    """Billions of parameters that the base model has more than."""
    up_to: float = float("inf")
    """Billions of parameters that the base model has at most."""
    input: float | None = None
    """$ per million input tokens of the tuned model, where it is billed by the token."""
    output: float | None = None


class Offer(NamedTuple):
    """What a provider offers."""

    name: str
    """As in `--provider NAME`; its data format and its models' prefix are called the same."""
    title: str
    tunes: str
    """Which models, in a few words."""
    example: str
    """A base model as it names them."""
    trains: str
    """LoRA, full or both, in a few words."""
    keeps_weights: bool
    """Whether the tuned weights can be downloaded."""
    estimates: bool
    """It estimates the price of an order itself, once the data is uploaded."""
    prices: tuple[TrainingPrice, ...]
    price_source: str
    dedicated: bool
    """The tuned model answers only from a deployment by the hour."""
    usd_per_hour: float | None
    """Of the smallest deployment."""
    hour_source: str
    max_upload: int | None = None
    """Bytes of a file that can be sent the way that Distil sends it; the format's own limit may be lower."""
    closings: tuple[Closing, ...] = ()

    def training_price(self, base: str, parameters: int | None) -> TrainingPrice | None:
        """The price of a base model; None where no source states it. parameters: of the model, where they are known."""
        billions = None if parameters is None else parameters / 1e9
        for price in self.prices:
            if price.models and re.search(price.models, base):
                return price
            if not price.models and billions is not None and price.above < billions <= price.up_to:
                return price
        return None

    def closed(self, base: str, today: date) -> str | None:
        """Why nothing can be tuned any more, for everybody; None while something can."""
        for closing in self.closings:
            concerned = not closing.models or re.search(closing.models, base)
            if closing.sure and concerned and today >= date.fromisoformat(closing.day):
                return f"{closing.what} since {closing.day}"
        return None

    def warnings(self, base: str, today: date) -> list[str]:
        """What a person should know before data leaves the machine: days that have passed for some accounts, or are to come."""
        said = []
        for closing in self.closings:
            if closing.models and not re.search(closing.models, base):
                continue
            past = today >= date.fromisoformat(closing.day)
            if not (closing.sure and past):
                said.append(f"{closing.what} {'since' if past else 'from'} {closing.day}")
        return said

    def deployed(self, model: str, base_url: str | None, deploy: str) -> Serving:
        """How a tuned model is asked that is billed by the time of its deployment, and not by the token."""
        return Serving(
            model=f"{self.name}/{model}",
            base_url=base_url,
            dedicated=True,
            usd_per_hour=self.usd_per_hour,
            input=0.0,
            output=0.0,
            source=self.hour_source,
            deploy=deploy,
        )


_OPENAI_PAGE = "OpenAI's deprecations page"
OFFERS: dict[str, Offer] = {
    "together": Offer(
        name="together",
        title="Together",
        tunes="open weights: Qwen3, Llama, Gemma, gpt-oss and more",
        example="Qwen/Qwen3-8B",
        trains="LoRA or full",
        keeps_weights=True,
        estimates=True,
        prices=(),
        price_source=f"Together's own estimate (POST /fine-tunes/estimate-price); no minimum (docs.together.ai, {READ})",
        dedicated=True,
        usd_per_hour=3.99,
        hour_source=f"1x H100 80GB, docs.together.ai/docs/dedicated-endpoints/overview, {READ}",
        max_upload=5 << 30,
    ),
    "fireworks": Offer(
        name="fireworks",
        title="Fireworks",
        tunes="open weights: Qwen3, Llama, Gemma 3, DeepSeek, Kimi and more",
        example="accounts/fireworks/models/qwen3-8b",
        trains="LoRA",
        keeps_weights=True,
        estimates=False,
        prices=(TrainingPrice(0.50, up_to=16), TrainingPrice(3.00, above=16, up_to=80)),
        price_source=f"fireworks.ai/pricing, {READ}",
        dedicated=True,
        usd_per_hour=7.00,
        hour_source=f"1x H100 80GB, docs.fireworks.ai/fine-tuning/multi-turn-cost-comparison, {READ}",
        max_upload=150_000_000,
    ),
    "azure": Offer(
        name="azure",
        title="Azure",
        tunes="OpenAI's gpt-4.1 and gpt-4o families in your resource",
        example="gpt-4.1-mini-2025-04-14",
        trains="LoRA",
        keeps_weights=False,
        estimates=False,
        prices=(),
        price_source="the price list of your region: azure.microsoft.com/pricing/details/azure-openai",
        dedicated=True,
        usd_per_hour=None,
        hour_source="the price list of your region; a Developer deployment of 24 hours has no hourly price "
        f"(learn.microsoft.com, fine-tune-test, {READ})",
        closings=(
            Closing(
                "2026-10-01",
                "training on gpt-4o-mini and gpt-4.1-mini is closed to new customers of Azure",
                r"gpt-4o-mini|gpt-4\.1-mini",
                sure=False,
                source="Microsoft Foundry's model retirements",
            ),
            Closing(
                "2027-04-01",
                "training on gpt-4o-mini and gpt-4.1-mini may end for Azure's existing customers, too,",
                r"gpt-4o-mini|gpt-4\.1-mini",
                sure=False,
                source="Microsoft Foundry's model retirements",
            ),
            Closing(
                "2027-10-01",
                "deployments of tuned gpt-4o-mini and gpt-4.1-mini end at Azure",
                r"gpt-4o-mini|gpt-4\.1-mini",
                sure=False,
                source="Microsoft Foundry's model retirements",
            ),
        ),
    ),
    "openai": Offer(
        name="openai",
        title="OpenAI",
        tunes="gpt-4.1 and gpt-4o families; being wound down",
        example="gpt-4.1-mini-2025-04-14",
        trains="its own way",
        keeps_weights=False,
        estimates=False,
        prices=(
            TrainingPrice(1.50, r"gpt-4\.1-nano", input=0.20, output=0.80),
            TrainingPrice(5.00, r"gpt-4\.1-mini", input=0.80, output=3.20),
            TrainingPrice(25.00, r"gpt-4\.1", input=3.00, output=12.00),
            TrainingPrice(25.00, r"gpt-4o(?!-mini)", input=3.75, output=15.00),
        ),
        price_source=f"openai.com/api/pricing, {READ}",
        dedicated=False,
        usd_per_hour=None,
        hour_source="billed by the token",
        closings=(
            Closing(
                "2026-05-07",
                "new fine-tuning jobs are closed to organizations that had never made one",
                sure=False,
                source=_OPENAI_PAGE,
            ),
            Closing(
                "2026-07-02",
                "new fine-tuning jobs are closed to organizations that asked no tuned model in the last 60 days",
                sure=False,
                source=_OPENAI_PAGE,
            ),
            Closing("2026-10-23", "gpt-3.5-turbo is shut down", r"gpt-3\.5", source=_OPENAI_PAGE),
            Closing(
                "2026-10-23",
                "gpt-4.1-nano is reported to be shut down",
                r"gpt-4\.1-nano",
                sure=False,
                source="aihola.com/article/openai-ends-fine-tuning-2027 (not checked on OpenAI's page)",
            ),
            Closing("2027-01-06", "new fine-tuning jobs are closed to everybody", source=_OPENAI_PAGE),
        ),
    ),
}
"""The provider's name -> what it offers, in the order in which to try them: open weights stay yours."""
APIS: dict[str, str] = {
    "together": "distil.calls.fine_tuning.together:TogetherFineTuning",
    "fireworks": "distil.calls.fine_tuning.fireworks:FireworksFineTuning",
    "azure": "distil.calls.fine_tuning.azure:AzureFineTuning",
    "openai": "distil.calls.fine_tuning.openai:OpenAIFineTuning",
}
"""The provider's name -> "module:Class"."""
INSTEAD = (
    "Open weights can be tuned with `distil train --provider together` or `--provider fireworks`, and here with `distil train`; "
    "`distil plan` compares them."
)


def find_offer(name: str) -> Offer:
    """The offer of a provider. Raises UserError on an unknown one."""
    if name not in OFFERS:
        raise UserError(
            f"Distil can't fine-tune at {name!r}. Expected --provider {', '.join(OFFERS)}.{did_you_mean(name.lower(), OFFERS)}"
        )
    return OFFERS[name]


def require_open(offer: Offer, base: str, today: date) -> None:
    """Raises UserError, with where to go instead, when the provider tunes this model for nobody any more."""
    why = offer.closed(base, today)
    if why is not None:
        raise UserError(f"{offer.title} can't tune {base}: {why}. Nothing was sent. {INSTEAD}")
