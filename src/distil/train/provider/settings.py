"""From the train and student sections to what a provider can be told, and one line for each thing that it can't.

A setting that the user did not write is left to the provider, whose defaults fit its own trainers.
"""

from __future__ import annotations

from distil.calls.fine_tuning.api import Base
from distil.calls.fine_tuning.offers import Offer
from distil.errors import UserError
from distil.models.config import StudentConfig
from distil.train.config import TrainConfig

Settings = dict[str, str | int | float | bool | None]
TAKES: dict[str, frozenset[str]] = {
    "together": frozenset(
        {
            "learning_rate",
            "batch_size",
            "warmup",
            "weight_decay",
            "max_grad_norm",
            "max_length",
            "seed",
            "packing",
            "schedule",
        }
    ),
    "fireworks": frozenset({"learning_rate", "batch_size", "weight_decay", "max_length"}),
    "azure": frozenset({"batch_size", "seed"}),
    "openai": frozenset({"batch_size", "seed"}),
}
"""Which keys of the train section each provider has a parameter for (besides epochs)."""
KEYS = (
    "learning_rate", "batch_size", "warmup", "weight_decay", "max_grad_norm", "max_length", "seed", "packing", "schedule",
    "early_stopping",
)  # fmt: skip
LORA = {"together", "fireworks"}
LOW_FOR_LORA = 5e-5
"""Learning rates below this are those of full training."""


def provider_settings(
    offer: Offer, base: Base, section: TrainConfig, student: StudentConfig
) -> tuple[Settings, list[str]]:
    """(what is sent, remarks). Raises UserError for what the provider would refuse."""
    settings: Settings = {"epochs": int(section.epochs)}
    remarks: list[str] = []
    if base.max_epochs is not None and section.epochs > base.max_epochs:
        raise UserError(
            f"train.epochs is {section.epochs:g}, and {offer.title} trains {base.name} for at most {base.max_epochs}: "
            f"--set train.epochs={base.max_epochs}"
        )
    written = section.model_fields_set
    for key in KEYS:
        if key not in written or getattr(section, key) in (None, "auto"):
            continue
        if key in TAKES[offer.name]:
            settings[key] = getattr(section, key)
        else:
            remarks.append(f"train.{key} is left to {offer.title}: {_why(key)}")
    if section.answers == "one_per_epoch":
        remarks.append(f"train.answers is all at {offer.title}: each answer that was kept is an example in every epoch")
    _learning_rate(settings, base, offer)
    _adapter(settings, remarks, offer, base, student)
    rate = settings.get("learning_rate")
    if isinstance(rate, float) and rate < LOW_FOR_LORA and offer.name in LORA and settings.get("adapter") != "full":
        remarks.append(
            f"train.learning_rate {rate:g} is sent as it is written; LoRA matrices usually take 1e-4 to 2e-4 (take the key "
            "out for "
            f"{offer.title}'s default)"
        )
    if "learning_rate" not in settings and section.set_rate is None:
        remarks.append(f"the learning rate is {offer.title}'s default (train.learning_rate names none)")
    if settings.get("schedule") == "constant":
        del settings["schedule"]
        remarks.append(f"train.schedule is left to {offer.title}: it has linear and cosine")
    return settings, remarks


def _why(key: str) -> str:
    return "it takes only a factor of its own default" if key == "learning_rate" else "its API has no parameter for it"


def _learning_rate(settings: Settings, base: Base, offer: Offer) -> None:
    rate, limits = settings.get("learning_rate"), base.learning_rates
    if isinstance(rate, float) and limits is not None and not limits[0] <= rate <= limits[1]:
        raise UserError(
            f"train.learning_rate is {rate:g}, and {offer.title} takes {limits[0]:g} to {limits[1]:g} for {base.name}: "
            f"--set train.learning_rate={min(max(rate, limits[0]), limits[1]):g}"
        )


def _adapter(settings: Settings, remarks: list[str], offer: Offer, base: Base, student: StudentConfig) -> None:
    """LoRA or full. Nothing written: the provider's default."""
    if offer.name not in LORA:
        if student.adapter == "lora":
            remarks.append(f"student.adapter is left to {offer.title}: it chooses how it trains")
        return
    if student.quantization is not None:
        remarks.append(f"student.quantization is left to {offer.title}: it chooses how it trains")
    if student.adapter is None:
        full = "adapter" in student.model_fields_set
        if full and base.full is False:
            remarks.append(
                f"{offer.title} trains LoRA matrices of {base.name}, not all weights (student.adapter: null)"
            )
        elif full and offer.name == "together":
            settings["adapter"] = "full"
        return
    if base.max_rank is not None and student.lora_rank > base.max_rank:
        raise UserError(
            f"student.lora_rank is {student.lora_rank}, and {offer.title} takes at most {base.max_rank} for {base.name}: "
            f"--set student.lora_rank={base.max_rank}"
        )
    settings["lora_rank"] = student.lora_rank
    if offer.name == "together":
        settings |= {"lora_alpha": student.lora_alpha, "lora_dropout": student.lora_dropout}
    elif {"lora_alpha", "lora_dropout"} & student.model_fields_set:
        remarks.append(
            f"student.lora_alpha and lora_dropout are left to {offer.title}: its API has no parameter for them"
        )
