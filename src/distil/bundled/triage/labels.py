"""The task's schema: fields, values, the canonical answer text, and how an answer is scored field by field.

Not the generator: that is `compose`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

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


def answer_text(reference: Mapping[str, object]) -> str:
    """The canonical answer: compact JSON with the keys in the order of `FIELDS`. KeyError when a field is missing."""
    return json.dumps({name: reference[name] for name in FIELDS}, separators=(",", ":"), ensure_ascii=False)


def field_accuracy(text: str, reference: Mapping[str, object]) -> dict[str, bool]:
    """For each field, whether the answer gives exactly the reference's value. Extra keys do not count.

    Every field is wrong in an answer that is not exactly one JSON object, and one that is missing is wrong.
    """
    try:
        answer = json.loads(text)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        return dict.fromkeys(FIELDS, False)
    return {name: name in answer and answer[name] == reference[name] for name in FIELDS}
