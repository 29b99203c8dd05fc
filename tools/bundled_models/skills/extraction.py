"""Keyed extraction and JSON: texts about tickets, invoices, addresses, bookings and people, and JSON objects of their parts.

None of these schemas shares a key with the bundled task. Values are copied, a missing one is null.
"""

from __future__ import annotations

import json
import random
from typing import Any

from distil.bundled.triage.chatter import BRANDS, NAMES
from tools.bundled_models.skills.copying import digit_string, item
from tools.bundled_models.skills.documents import Document, either, plain

_CITIES = (
    "Paris",
    "Rome",
    "Oslo",
    "Berlin",
    "Madrid",
    "Lyon",
    "Porto",
    "Vienna",
    "Prague",
    "Dublin",
    "Turin",
    "Bonn",
    "Leeds",
    "Cork",
)
_STREETS = (
    "Mill Road",
    "High Street",
    "Park Lane",
    "Station Road",
    "Church Street",
    "Green Way",
    "Hill Street",
    "Lake Road",
)
_COLOURS = ("red", "blue", "green", "black", "white", "grey", "yellow", "brown")
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

# schema -> key -> ways to say its value in a sentence
_SCHEMAS: dict[str, dict[str, tuple[str, ...]]] = {
    "ticket": {
        "ticket": ("Ticket {} is open.", "The ticket has number {}.", "See ticket {}.", "ticket no. {}"),
        "agent": ("{} takes care of it.", "It is assigned to {}.", "The agent is {}."),
        "day": ("It came in on {}.", "Opened on {}.", "since {}"),
    },
    "invoice": {
        "invoice": ("Invoice {} is attached.", "Invoice number {}.", "Please pay invoice {}.", "invoice #{}"),
        "company": ("It comes from {}.", "The company is {}.", "Billed by {}."),
        "total": ("The total is {} euros.", "Amount: {} dollars.", "You owe {} euros."),
    },
    "address": {
        "name": ("{} lives there.", "The name is {}.", "Addressee: {}."),
        "street": ("The street is {}.", "The house is in {}.", "Street: {}."),
        "zip": ("The zip code is {}.", "Zip {}.", "postcode {}"),
        "city": ("The city is {}.", "It is in {}.", "Town: {}."),
    },
    "booking": {
        "booking": ("Booking {} is confirmed.", "Your booking code is {}.", "Booking number {}.", "booking #{}"),
        "guest": ("The guest is {}.", "Booked by {}.", "for {}"),
        "room": ("Room {}.", "The room number is {}.", "You sleep in room {}."),
        "city": ("The hotel is in {}.", "The trip goes to {}.", "Destination {}."),
    },
    "car": {
        "plate": ("The plate is {}.", "Plate {}.", "license plate {}"),
        "colour": ("The car is {}.", "It is a {} car.", "Colour: {}."),
        "owner": ("It belongs to {}.", "The owner is {}.", "{} drives it."),
    },
    "member": {
        "member": ("Member {}.", "The member number is {}.", "member id {}", "registered as member #{}"),
        "first_name": ("My name is {}.", "I am {}.", "This is {}."),
        "since": ("Member since {}.", "Joined in {}.", "I came in {}."),
    },
}
_ASK = (
    "Extract the {} as JSON with {}.",
    "Give {} as JSON: {}.",
    "Read the text, return a JSON object for the {}: {}.",
    "JSON of the {} ({}).",
)
_QUESTION = ("What is the {}?", "Which {} is mentioned?", "Give the {}.", "{}?")


def _value(rng: random.Random, key: str) -> str:
    choices: dict[str, tuple[str, ...]] = dict.fromkeys(
        ("agent", "guest", "name", "owner", "first_name"), NAMES["train"]
    )
    choices |= {"company": BRANDS["train"], "city": _CITIES, "street": _STREETS, "colour": _COLOURS, "day": _DAYS}
    if key in choices:
        return rng.choice(choices[key])
    lengths = {"total": (2, 4), "since": (4, 4), "room": (2, 3), "zip": (5, 5)}
    low, high = lengths.get(key, (4, 7))
    return (
        "".join(rng.choice("0123456789") for _ in range(rng.randrange(low, high + 1)))
        if key in lengths
        else digit_string(rng, low, high)
    )


def _situation(rng: random.Random) -> tuple[str, str, dict[str, Any]]:
    """A schema's name, a text, and the object that the text describes."""
    name = rng.choice(tuple(_SCHEMAS))
    record: dict[str, Any] = {}
    sentences = []
    for key, ways in _SCHEMAS[name].items():
        if rng.random() < 0.25:
            record[key] = None
            continue
        record[key] = _value(rng, key)
        sentences.append(rng.choice(ways).format(record[key]))
    for _ in range(rng.randrange(0, 3)):
        sentences.append(
            rng.choice(
                ("It is late.", "All is well.", "We talked about {} things.", "That was {} days ago.", "Page {}.")
            ).format(rng.randrange(2, 99))
        )
    rng.shuffle(sentences)
    text = " ".join(sentences) if sentences else "Nothing is known."
    return name, text.lower() if rng.random() < 0.3 else text, record


def keyed_extraction(rng: random.Random) -> Document:
    """A text and a JSON object of its parts, the keys named in the instruction or known from the schema."""
    name, text, record = _situation(rng)
    if text.islower():
        record = {key: value.lower() if isinstance(value, str) else value for key, value in record.items()}
    keys = list(record)
    if rng.random() < 0.5:
        keys = rng.sample(keys, rng.randrange(1, len(keys) + 1))
    answer = json.dumps({key: record[key] for key in keys}, separators=(",", ":") if rng.random() < 0.7 else None)
    return either(rng, rng.choice(_ASK).format(name, ", ".join(keys)), text, answer, prompt_weight=0.05)


def question(rng: random.Random) -> Document:
    """A text and a question about one of its parts."""
    _, text, record = _situation(rng)
    key = rng.choice(list(record))
    value = record[key]
    answer = "none" if value is None else value.lower() if text.islower() else value
    return either(rng, rng.choice(_QUESTION).format(key.replace("_", " ")), text, answer)


def json_completion(rng: random.Random) -> Document:
    """JSON objects with keys of any kind, written out again from a list or in another layout."""
    keys = rng.sample([key for schema in _SCHEMAS.values() for key in schema], rng.randrange(1, 5))
    record = {key: item(rng) if rng.random() < 0.85 else None for key in keys}
    compact = json.dumps(record, separators=(",", ":"))
    lines = "\n".join(f"{key}: {'none' if value is None else value}" for key, value in record.items())
    if rng.random() < 0.5:
        return either(rng, "Write as JSON.", lines, compact)
    cut = rng.randrange(1, len(compact))
    return plain(((f"{lines}\n{compact[:cut]}", 0.0), (compact[cut:], 1.0)))
