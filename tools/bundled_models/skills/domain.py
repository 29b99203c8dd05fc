"""Reading customer messages: the messages themselves, two ways to say one thing, a summary in plain words, questions.

Only words of the train split. Neither the task's schema nor its labels nor an answer of it occurs: the
summaries say "wants money back", never a label, and no exercise here asks for JSON.
"""

from __future__ import annotations

import json
import random
from dataclasses import replace

from distil.bundled.triage.compose import Composer, Meaning, draw_meaning
from distil.bundled.triage.labels import INTENTS, PRODUCTS, SENTIMENTS, URGENCIES
from tools.bundled_models.skills.documents import Document, chat, either, plain

_PROMPT_WEIGHT = 0.1  # learning to predict the message itself: language modelling

_WHAT: dict[str, tuple[str, ...]] = {
    "refund": ("wants money back", "asks to be paid back", "sends goods back for money"),
    "billing": ("has trouble with an invoice", "asks about a charge", "talks about the bill"),
    "damaged": ("says it does not work", "tells of something broken", "needs a repair"),
    "exchange": ("wants another one instead", "wants to swap", "asks for a different model"),
    "delivery": ("asks where the parcel is", "waits for the parcel", "talks about shipping"),
    "cancel": ("takes back the order", "no longer wants the order", "stops the order"),
    "account": ("has trouble with the login", "writes about the password or profile", "cannot get in"),
    "information": ("has a question before buying", "wants to know more", "asks how it works"),
}
_WHEN: dict[str, tuple[str, ...]] = {
    "high": ("in a hurry", "needs it fast", "soon please"),
    "normal": ("no time given", "says nothing about time", "usual time"),
    "low": ("can wait", "has time", "no hurry"),
}
_MOOD: dict[str, tuple[str, ...]] = {
    "positive": ("happy", "pleased", "friendly mood"),
    "neutral": ("calm", "shows no feelings", "matter of fact"),
    "negative": ("angry", "unhappy", "bad mood"),
}
_PARAPHRASE = (
    "Say it in other words.",
    "Write the same message differently.",
    "Paraphrase.",
    "Rewrite this message.",
    "The same, other words:",
)
_SUMMARY = (
    "Summarise the message.",
    "What is this about?",
    "Sum up.",
    "A short note, please.",
    "In short:",
    "Summary?",
)
_ASK_NUMBER = (
    "Which order is meant?",
    "What is the number of the order?",
    "Order number?",
    "Give the number of the order.",
    "Number of the order?",
)
_ASK_THING = ("What thing is it about?", "Which thing did they buy?", "Name the thing.", "What did the customer buy?")
_ASK_WHAT = ("What does the customer want?", "Why does the customer write?", "What do they want?")
_ASK_WHEN = ("Is there a hurry?", "How fast must it go?", "When do they need it?")
_ASK_MOOD = ("How does the writer feel?", "What is the mood?", "Are they happy?")


def _message(rng: random.Random, meaning: Meaning) -> str:
    return Composer(rng, "train", noise=True).message(meaning)[0]


def _thing(rng: random.Random, product: str | None) -> str:
    return "some thing" if product is None else rng.choice(PRODUCTS[product]["train"]).rstrip("*")


def _note_parts(rng: random.Random, meaning: Meaning) -> dict[str, str]:
    return {
        "what": rng.choice(_WHAT[meaning.intent]),
        "thing": _thing(rng, meaning.product),
        "when": rng.choice(_WHEN[meaning.urgency]),
        "mood": rng.choice(_MOOD[meaning.sentiment]),
        "number": "no number" if meaning.order_id is None else rng.choice(("", "number ")) + meaning.order_id,
    }


def raw(rng: random.Random) -> Document:
    """A message as running text."""
    return plain(((_message(rng, draw_meaning(rng)), 0.5),))


def paraphrase(rng: random.Random) -> Document:
    """Two or three messages of one meaning."""
    meaning = draw_meaning(rng)
    first, second = _message(rng, meaning), _message(rng, meaning)
    return either(rng, rng.choice(_PARAPHRASE), first, second, prompt_weight=_PROMPT_WEIGHT)


def same_or_not(rng: random.Random) -> Document:
    """Two messages: do they want the same, in the same mood, about the same thing? Yes or no."""
    meaning = draw_meaning(rng)
    other = replace(meaning)
    field = rng.choice(("what they want", "the thing", "the hurry", "the mood"))
    if rng.random() < 0.5:
        if field == "what they want":
            other = replace(meaning, intent=rng.choice([i for i in INTENTS if i != meaning.intent]))
        elif field == "the thing":
            other = replace(meaning, product=rng.choice([p for p in PRODUCTS if p != meaning.product]))
        elif field == "the hurry":
            other = replace(meaning, urgency=rng.choice([u for u in URGENCIES if u != meaning.urgency]))
        else:
            other = replace(meaning, sentiment=rng.choice([s for s in SENTIMENTS if s != meaning.sentiment]))
    answer = "yes" if other == meaning else "no"
    body = f"{_message(rng, meaning)}\n---\n{_message(rng, other)}"
    return either(rng, f"Is {field} the same?", body, answer, prompt_weight=_PROMPT_WEIGHT)


def summary(rng: random.Random) -> Document:
    """A message and a note of what it says, in plain words and any order."""
    meaning = draw_meaning(rng)
    parts = list(_note_parts(rng, meaning).values())
    if rng.random() < 0.5:
        rng.shuffle(parts)
    joint = rng.choice((", ", "; ", "\n", " - "))
    return either(rng, rng.choice(_SUMMARY), _message(rng, meaning), joint.join(parts), prompt_weight=_PROMPT_WEIGHT)


NOTES: dict[str, tuple[str, ...]] = {"what": _ASK_WHAT, "thing": _ASK_THING, "when": _ASK_WHEN, "mood": _ASK_MOOD}


def questions(rng: random.Random) -> Document:
    """A message and one question about it, answered in plain words."""
    meaning = draw_meaning(rng)
    parts = _note_parts(rng, meaning)
    name = rng.choice(tuple(NOTES))
    if rng.random() < 0.4:
        name = rng.choice(("what", "mood"))  # the two that are learned last
    return either(rng, rng.choice(NOTES[name]), _message(rng, meaning), parts[name], prompt_weight=_PROMPT_WEIGHT)


def asked(rng: random.Random, name: str) -> tuple[str, str, tuple[str, ...]]:
    """For measuring: a message, a question of the kind `name` of `NOTES`, and every answer that fits."""
    meaning = draw_meaning(rng)
    fitting = {
        "what": _WHAT[meaning.intent],
        "when": _WHEN[meaning.urgency],
        "mood": _MOOD[meaning.sentiment],
        "thing": ("some thing",)
        if meaning.product is None
        else tuple(n.rstrip("*") for n in PRODUCTS[meaning.product]["train"]),
    }[name]
    return _message(rng, meaning), rng.choice(NOTES[name]), fitting


def order_number(rng: random.Random) -> Document:
    """A message and the question for the order's number, answered by the digits alone or by "none"."""
    meaning = draw_meaning(rng)
    answer = meaning.order_id or "none"
    return either(rng, rng.choice(_ASK_NUMBER), _message(rng, meaning), answer, prompt_weight=_PROMPT_WEIGHT)


def number_as_json(rng: random.Random) -> Document:
    """A message and the order's number in an object of one foreign key, null when there is none."""
    meaning = draw_meaning(rng)
    key = rng.choice(("number", "no", "ref", "code", "digits", "value", "x", "case"))
    answer = json.dumps({key: meaning.order_id}, separators=(",", ":"))
    return either(
        rng, f"{rng.choice(_ASK_NUMBER)} JSON with {key}.", _message(rng, meaning), answer, prompt_weight=_PROMPT_WEIGHT
    )


_FOREIGN_KEYS: dict[str, tuple[str, ...]] = {
    "what": ("wish", "goal", "wants", "about", "topic", "reason", "request", "matter"),
    "thing": ("thing", "item", "object", "article", "goods", "what"),
    "when": ("hurry", "time", "speed", "when", "pace", "rush"),
    "mood": ("mood", "feeling", "tone", "temper", "voice", "attitude"),
    "number": ("number", "no", "ref", "code", "num", "digits"),
}
_SHORT_VALUES: dict[str, tuple[str, ...]] = {
    "high": ("fast", "quick", "soon", "hot", "big"),
    "normal": ("medium", "usual", "standard", "plain", "open"),
    "low": ("slow", "later", "relaxed", "small", "none"),
    "positive": ("glad", "good", "warm", "nice", "up"),
    "neutral": ("even", "flat", "cool", "plain", "so so"),
    "negative": ("sad", "bad", "cold", "sour", "down"),
}
_NOTE = (
    "Write a note as JSON.",
    "Note this as JSON.",
    "JSON note.",
    "Turn the message into JSON.",
    "Make a JSON note of it.",
)


def foreign_note(rng: random.Random) -> Document:
    """A message and a JSON note of it: foreign keys, plain or short foreign words as values; mostly all five parts."""
    meaning = draw_meaning(rng)
    parts: dict[str, str | None] = dict(_note_parts(rng, meaning))
    parts["number"] = meaning.order_id
    if meaning.product is None:
        parts["thing"] = None
    for name, value in (("when", meaning.urgency), ("mood", meaning.sentiment)):
        if rng.random() < 0.6:
            parts[name] = rng.choice(_SHORT_VALUES[value])
    names = list(parts)
    if rng.random() < 0.3:
        names = rng.sample(names, rng.randrange(2, 6))
    keys = {name: rng.choice(_FOREIGN_KEYS[name]) for name in names}
    answer = json.dumps({keys[name]: parts[name] for name in names}, separators=(",", ":"))
    instruction = rng.choice(_NOTE)
    if rng.random() < 0.4:
        instruction = f"{instruction} Keys: {', '.join(keys.values())}."
    if rng.random() < 0.7:
        return chat(_message(rng, meaning), answer, system=instruction, prompt_weight=_PROMPT_WEIGHT)
    return either(rng, instruction, _message(rng, meaning), answer, prompt_weight=_PROMPT_WEIGHT)


def reply(rng: random.Random) -> Document:
    """A message and a polite reply that takes up what it says."""
    meaning = draw_meaning(rng)
    thing = "order" if meaning.product is None else _thing(rng, meaning.product)
    order = "" if meaning.order_id is None else f" (order {meaning.order_id})"
    start = {
        "positive": "Thank you for your kind words.",
        "neutral": "Thank you for writing.",
        "negative": "We are sorry.",
    }[meaning.sentiment]
    end = {"high": "We will be quick.", "normal": "We will answer soon.", "low": "We will take the time we need."}[
        meaning.urgency
    ]
    text = f"{start} You write about your {thing}{order}. We see that the customer {rng.choice(_WHAT[meaning.intent])}. {end}"
    return chat(
        _message(rng, meaning),
        text,
        system="You are a friendly clerk." if rng.random() < 0.5 else None,
        prompt_weight=_PROMPT_WEIGHT,
    )
