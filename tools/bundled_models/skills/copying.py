"""Copying: random strings repeated, echoed, looked up by key. What makes a small model able to copy a number verbatim.

Each document draws new random strings, so nothing can be memorized.
"""

from __future__ import annotations

import random
import string

from distil.bundled.triage.chatter import BRANDS, NAMES
from distil.bundled.triage.words import COMMON
from tools.bundled_models.skills.documents import Document, either, plain


def digit_string(rng: random.Random, low: int = 2, high: int = 9) -> str:
    """Random digits; four in ten have the length of an order number, five or six."""
    length = rng.choice((5, 6)) if rng.random() < 0.4 else rng.randrange(low, high + 1)
    return "".join(rng.choice(string.digits) for _ in range(length))


def letter_string(rng: random.Random) -> str:
    """Random lower-case letters."""
    return "".join(rng.choice(string.ascii_lowercase) for _ in range(rng.randrange(2, 8)))


def item(rng: random.Random) -> str:
    """Something to copy: digits, letters, a code of both, a word or a name."""
    way = rng.random()
    if way < 0.5:
        return digit_string(rng)
    if way < 0.6:
        return letter_string(rng)
    if way < 0.7:
        return rng.choice(string.ascii_uppercase) + digit_string(rng, 2, 4)
    if way < 0.85:
        return rng.choice(COMMON)
    return rng.choice(NAMES["train"] + BRANDS["train"])


def repetition(rng: random.Random) -> Document:
    """A random line written two to five times; the first time is not learned."""
    separator = rng.choice((" ", ", ", "\n", "; ", " - ", ""))
    line = separator.join(item(rng) for _ in range(rng.randrange(1, 9)))
    joint = rng.choice(("\n", " | ", " = ", "\n\n", ". "))
    return plain(((line, 0.0), ((joint + line) * rng.randrange(1, 5), 1.0)))


_ECHO = (
    "Repeat:",
    "Say this again:",
    "Copy the text.",
    "Write the same:",
    "Echo.",
    "Repeat the line.",
    "Copy:",
    "Return the input unchanged.",
)


def echo(rng: random.Random) -> Document:
    """Give a line back, alone or inside quotes."""
    line = " ".join(item(rng) for _ in range(rng.randrange(1, 6)))
    if rng.random() < 0.3:
        return either(rng, rng.choice(_ECHO), f'"{line}"', line)
    return either(rng, rng.choice(_ECHO), line, line)


def lookup(rng: random.Random) -> Document:
    """A table of random keys and values, then several of its keys asked for."""
    names = (
        rng.sample(COMMON, rng.randrange(2, 8))
        if rng.random() < 0.7
        else [letter_string(rng) for _ in range(rng.randrange(2, 8))]
    )
    table = {name: item(rng) for name in names}
    sign, joint = rng.choice(((": ", "\n"), ("=", ", "), (" is ", ". "), (" -> ", "; "), (" ", ", ")))
    body = joint.join(f"{name}{sign}{value}" for name, value in table.items())
    asked = rng.sample(list(table), min(len(table), rng.randrange(1, 5)))
    if rng.random() < 0.4:
        question = rng.choice(("What is {}?", "Give {}.", "Value of {}?", "{}?")).format(asked[0])
        return either(rng, question, body, table[asked[0]])
    pieces: list[tuple[str, float]] = [(body + "\n\n", 0.0)]
    for name in asked:
        pieces += [(f"{name}{sign}", 0.0), (table[name], 1.0), ("\n", 0.0)]
    return plain(pieces)


def needle(rng: random.Random) -> Document:
    """Words with one number among them (or several of different lengths): give the number."""
    words = [rng.choice(COMMON) for _ in range(rng.randrange(3, 20))]
    number = digit_string(rng, 4, 7)
    words.insert(rng.randrange(len(words) + 1), number)
    question = rng.choice(
        ("Which number is in the text?", "What number is mentioned?", "Give the number.", "Number?", "Find the digits.")
    )
    if rng.random() < 0.3:
        marker = rng.choice(COMMON)
        other = digit_string(rng, 4, 7)
        at = words.index(number)
        words = [word for word in words if word != marker]
        at = words.index(number)
        words.insert(at, marker)
        words.insert(rng.choice((0, len(words))), other)
        question = rng.choice(
            ("Which number follows the word {}?", "Number after {}?", "Give the number behind {}.")
        ).format(marker)
    return either(rng, question, " ".join(words), number)
