"""The task's schema: fields, values, the canonical answer text, and how an answer is scored field by field.

Not the generator (see `compose`). Called by the generator, by the training of the bundled models and by benchmarks.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

SYSTEM = "Triage this message as JSON."
FIELDS: tuple[str, ...] = ("intent", "product", "urgency", "sentiment", "order_id")
INTENTS = ("refund", "billing", "damaged", "exchange", "delivery", "cancel", "account", "information")
URGENCIES = ("low", "normal", "high")
SENTIMENTS = ("positive", "neutral", "negative")

# product -> split -> names customers use; a trailing * marks a plural noun
PRODUCTS: dict[str, dict[str, tuple[str, ...]]] = {
    "phone": {
        "train": ("phone", "phone", "mobile phone", "smartphone", "mobile", "smart phone"),
        "test": ("cellphone", "flip phone", "android phone", "dual sim phone"),
    },
    "laptop": {
        "train": ("laptop", "laptop", "notebook", "notebook computer", "laptop pc"),
        "test": ("gaming laptop", "laptop computer", "touchscreen notebook"),
    },
    "headphones": {
        "train": ("headphones*", "headphones*", "headset", "earphones*", "earbuds*", "wireless headphones*"),
        "test": ("studio headphones*", "gamer headset", "pair of headphones", "sleep earbuds*"),
    },
    "camera": {
        "train": ("camera", "camera", "digital camera", "video camera", "photo camera", "cam"),
        "test": ("mirrorless camera", "action camera", "underwater camera"),
    },
    "television": {
        "train": ("tv", "television", "smart tv", "tv set", "flat screen tv", "telly"),
        "test": ("oled tv", "television set", "wall tv", "curved television"),
    },
    "watch": {
        "train": ("watch", "watch", "smartwatch", "smart watch", "wrist watch", "fitness watch"),
        "test": ("diver watch", "gps watch", "running smartwatch"),
    },
    "vacuum": {
        "train": ("vacuum cleaner", "vacuum", "robot vacuum", "hoover", "vacuum robot", "hand vacuum"),
        "test": ("cordless vacuum", "bagless vacuum cleaner", "stick vacuum", "upright hoover"),
    },
    "printer": {
        "train": ("printer", "printer", "laser printer", "inkjet printer", "colour printer", "photo printer"),
        "test": ("thermal printer", "duplex printer", "inkjet label printer"),
    },
}


def answer_text(reference: Mapping[str, Any]) -> str:
    """The canonical answer: compact JSON with the keys in the order of `FIELDS`. KeyError when a field is missing."""
    return json.dumps({name: reference[name] for name in FIELDS}, separators=(",", ":"), ensure_ascii=False)


def parse_answer(text: str) -> dict[str, Any] | None:
    """The object in an answer, or None when the text is not exactly one JSON object (surrounding blanks allowed)."""
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def field_accuracy(text: str, reference: Mapping[str, Any]) -> dict[str, bool]:
    """For each field, whether the answer gives exactly the reference's value.

    An answer that is no JSON object, or lacks a field, has that field wrong. Extra keys are not punished here.
    """
    answer = parse_answer(text)
    if answer is None:
        return dict.fromkeys(FIELDS, False)
    return {name: name in answer and answer[name] == reference[name] for name in FIELDS}
