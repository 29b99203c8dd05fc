"""Signal `repetition`: a model that loops, where its prompt doesn't ask for it. What a loop is: loops.py."""

from __future__ import annotations

import re

from distil.curate.evidence.corpus import Corpus
from distil.curate.evidence.found import Found
from distil.curate.evidence.loops import find_loop
from distil.records import Answer, Prompt
from distil.text import normalize, one_line

_ASKS = re.compile(
    r"\b(?:repeat\w*|times|copies|over and over|chant\w*|mantra|refrain|chorus|lyrics|fill\w*|rows?|lines?|loop\w*|\d{2,})\b"
)
_SONG = re.compile(r"\b(?:songs?|rap|lyrics|poems?|hymn|anthem|chorus|verses?|rhymes?|ballad|carol)\b")
_CHORUS = re.compile(r"(?im)^\W*(?:chorus|refrain|verse \d)\b")
SONG_TIMES = 6
"""A refrain may come four times in a row at the end of a song."""


def repetition(prompt: Prompt, answer: Answer, corpus: Corpus) -> Found | None:
    """The share of the answer that is one block over and over; nothing where the prompt has that block and asks to repeat."""
    loop = find_loop(answer.text)
    if loop is None or _asked_for(prompt, loop.block):
        return None
    if loop.times < SONG_TIMES and (_SONG.search(normalize(prompt.messages[-1].text)) or _CHORUS.search(answer.text)):
        return None
    return Found(loop.share, f"loops: “{one_line(loop.block, 60)}” over and over")


def _asked_for(prompt: Prompt, block: str) -> bool:
    """Whether the prompt itself has the block, and loops too or asks for repetition (`write "I will not talk" 100 times`)."""
    asked = prompt.messages[-1].text
    plain = normalize(asked)
    wanted = normalize(block).strip(" .,;:!?\"'0123456789")
    if not wanted or wanted not in plain:
        return False
    return _ASKS.search(plain) is not None or find_loop(asked) is not None
