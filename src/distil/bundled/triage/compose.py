"""Compose a message from a meaning: which sentences, in which order, around which request.

The reference is the meaning itself, so it is right by construction; two messages of one meaning are a paraphrase pair.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

from distil.bundled.triage.grammar import KINDS, Split, draw, fill, frames, pick
from distil.bundled.triage.labels import INTENTS, PRODUCTS
from distil.bundled.triage.noise import REGISTERS, join_sentences, mistype
from distil.bundled.triage.words import any_word, made_up

_SUBJECT_IT = re.compile(r"\{it\}(?= (\{|broke|refuse|never))")
_GAPS = re.compile(r" (?=[ .?!,])")  # what an empty choice leaves behind
# The chance of a first irrelevant sentence; half of it for each further one.
_CHATTER = {"formal": 0.35, "casual": 0.5, "sms": 0.3, "rambling": 1.0}
# What must agree with a noun phrase in number.
_AGREEING = ("is", "has", "was", "does", "it", "they", "s", "es", "itself")
_SINGULAR = dict(zip(_AGREEING, ("is", "has", "was", "does", "it", "it", "s", "es", "itself"), strict=True))
_PLURAL = dict(zip(_AGREEING, ("are", "have", "were", "do", "them", "they", "", "", "themselves"), strict=True))
# How often a test message takes a table's held-out entries. Requests, names and chatter are always held out.
_HELD_OUT = {"wish": 0.6, "ask": 0.6, "object": 0.5, "no_product": 0.5, "order_tail": 0.5, "order_sentence": 0.6,
             "product_sentence": 0.6, "high": 0.6, "low": 0.6, "positive": 0.6, "negative": 0.6}  # fmt: skip


@dataclass(frozen=True)
class Meaning:
    """What a message says. `product` and `order_id` are None when the message names none."""

    intent: str
    product: str | None
    urgency: str
    sentiment: str
    order_id: str | None

    def reference(self) -> dict[str, str | None]:
        """The task's reference: a dict with the keys of `FIELDS`."""
        return {"intent": self.intent, "product": self.product, "urgency": self.urgency, "sentiment": self.sentiment,
                "order_id": self.order_id}  # fmt: skip


def digits(rng: random.Random, length: int) -> str:
    """A random number of exactly `length` digits without a leading zero."""
    return str(rng.randrange(10 ** (length - 1), 10**length))


def draw_meaning(rng: random.Random) -> Meaning:
    """A random meaning: intents uniform, the other fields with the frequencies written here."""
    intent = INTENTS[int(rng.random() * len(INTENTS))]
    named = 0.4 if intent == "account" else 0.85
    numbered = 0.35 if intent in ("account", "information") else 0.72
    product = rng.choice(tuple(PRODUCTS)) if rng.random() < named else None
    order_id = digits(rng, rng.choice((5, 5, 6))) if rng.random() < numbered else None
    urgency = rng.choices(("low", "normal", "high"), (0.28, 0.42, 0.3))[0]
    sentiment = rng.choices(("positive", "neutral", "negative"), (0.28, 0.42, 0.3))[0]
    return Meaning(intent, product, urgency, sentiment, order_id)


class Composer:
    """Writes messages in the vocabulary of one split. Its only state is the random stream.

    With `noise`, names, irrelevant sentences and sometimes any sentence contain words without meaning: the bundled models learn
    from such messages to ignore words that they do not know. Published examples have none.
    """

    def __init__(self, rng: random.Random, split: Split, *, noise: bool = False) -> None:
        self.rng = rng
        self.split: Split = split
        self.noise = noise

    def message(self, meaning: Meaning) -> tuple[str, str]:
        """A message with this meaning, and the id of its content frame."""
        rng = self.rng
        register = REGISTERS[int(rng.random() * len(REGISTERS))]
        request, group, open_points = self._request(meaning)
        body = [request, *self._cues(meaning), *self._chatter(register, meaning)]
        body.extend(self._sentence(point, meaning) for point in open_points)
        rng.shuffle(body)
        if rng.random() < 0.4:  # people often come to the point first
            body.remove(request)
            body.insert(0, request)
        if rng.random() < 0.6:
            body.insert(0, self._draw("opener", {}))
        if rng.random() < 0.5:
            body.append(self._draw("closer", {}))
        body = [self._padded(_GAPS.sub("", sentence).strip()) for sentence in body]
        text = join_sentences(rng, body, register)
        if rng.random() < (0.25 if register == "formal" else 0.45):
            text = mistype(rng, text, 0.05)
        return text, group

    def _request(self, meaning: Meaning) -> tuple[str, str, list[str]]:
        """The request sentence, its frame id, and what it does not mention ("product", "order")."""
        rng = self.rng
        kind = rng.choices(KINDS, (0.34, 0.26, 0.4))[0]
        phrases = frames(meaning.intent, kind, self.split, self.noise)
        index, phrase = phrases[int(rng.random() * len(phrases))]
        phrase = draw(rng, phrase)
        if kind != "tell":
            phrase = self._pick(kind).replace("{" + kind + "}", phrase)
        open_points = []
        values: dict[str, str] = {}
        if "{obj}" in phrase or "{Obj}" in phrase:
            names_product = meaning.product is not None and rng.random() < 0.8
            with_order = meaning.order_id is not None and rng.random() < 0.4
            values = self._object(meaning, names_product, with_order)
        else:
            names_product = with_order = False
        if meaning.product is not None and not names_product:
            open_points.append("product")
        if meaning.order_id is not None and not with_order:
            open_points.append("order")
        sentence = self._filled(_SUBJECT_IT.sub("{they}", phrase), values)
        sentence = sentence[0].upper() + sentence[1:]
        return sentence, f"{meaning.intent}-{kind}-{self.split}{index:02d}", open_points

    def _object(self, meaning: Meaning, names_product: bool, with_order: bool) -> dict[str, str]:
        """The slots around one noun phrase: {obj} and what must agree with it in number."""
        rng = self.rng
        plural = False
        if names_product and meaning.product is not None:
            noun = self._noun(meaning.product)
            plural = noun.endswith("*")
            text = self._filled(self._pick("object"), {"n": noun.rstrip("*")})
            if plural:
                text = re.sub(r"^(this|that) ", "these ", text)
            if with_order:
                text += " " + fill(self._pick("order_tail"), {"order": str(meaning.order_id)})
        elif with_order:
            text = rng.choice(("order ", "my order ", "order number ", "order #")) + str(meaning.order_id)
        else:
            text = self._pick("no_product")
        values = dict(_PLURAL if plural else _SINGULAR)
        values.update({name.capitalize(): values[name].capitalize() for name in ("is", "has", "does", "was")})
        values.update({"obj": text, "Obj": text[0].upper() + text[1:]})
        return values

    def _noun(self, product: str) -> str:
        names = PRODUCTS[product]
        held_out = self.split == "test" and self.rng.random() < 0.5
        return self.rng.choice(names["test"] if held_out else names["train"])

    def _cues(self, meaning: Meaning) -> list[str]:
        cues = [cue for cue in (meaning.urgency, meaning.sentiment) if cue not in ("normal", "neutral")]
        return [self._filled(self._pick(cue), {}) for cue in cues]

    def _chatter(self, register: str, meaning: Meaning) -> list[str]:
        rng = self.rng
        sentences = []
        chance = _CHATTER[register]
        while rng.random() < chance:
            sentences.append(self._draw("chatter", self._numbers()))
            chance /= 2
        if meaning.product is not None and rng.random() < 0.1:
            other = rng.choice([name for name in PRODUCTS if name != meaning.product])
            noun = rng.choice([n for n in PRODUCTS[other][self.split] if not n.endswith("*")])
            sentences.append(self._draw("other_product", {"other": noun}))
        return sentences

    def _sentence(self, point: str, meaning: Meaning) -> str:
        if point == "order":
            return fill(self._pick("order_sentence"), {"order": str(meaning.order_id)})
        return fill(self._pick("product_sentence"), self._object(meaning, True, False))

    def _numbers(self) -> dict[str, str]:
        rng = self.rng
        phone = f"{digits(rng, 3)}-{digits(rng, 4)}" if rng.random() < 0.5 else f"0{digits(rng, 3)} {digits(rng, 6)}"
        return {"year": str(rng.randrange(1960, 2027)), "phone": phone, "price": str(rng.randrange(10, 1500)),
                "count": str(rng.randrange(2, 90)), "zip": digits(rng, 5)}  # fmt: skip

    def _draw(self, table: str, values: dict[str, str]) -> str:
        return self._filled(pick(self.rng, table, self.split, self.noise), values)

    def _filled(self, phrase: str, values: dict[str, str]) -> str:
        """Fill a phrase; names, brands and the words of {any} are made up half of the time with noise."""
        rng = self.rng
        while "{any}" in phrase:
            phrase = phrase.replace("{any}", any_word(rng), 1)
        invented = self.noise and rng.random() < 0.5
        for slot in ("name", "brand"):
            values = {**values, slot: made_up(rng).capitalize() if invented else pick(rng, slot, self.split)}
        return fill(phrase, values)

    def _padded(self, sentence: str) -> str:
        """With noise, sometimes one more word without meaning; never next to a number."""
        rng = self.rng
        if not self.noise or rng.random() > 0.15:
            return sentence
        words = sentence.split(" ")
        at = rng.randrange(1, len(words) + 1)
        if any(char.isdigit() for word in words[at - 1 : at + 1] for char in word):
            return sentence
        return " ".join((*words[:at], any_word(rng), *words[at:]))

    def _pick(self, table: str) -> str:
        """An entry of a table; in the test split a held-out one with the probability in `_HELD_OUT`."""
        split = self.split
        if split == "test" and self.rng.random() >= _HELD_OUT[table]:
            split = "train"
        return pick(self.rng, table, split, self.noise)
