"""Signals `length` and `echo`: an answer of an unusual length for its task, and one that says its prompt again."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import numpy as np

from distil.curate.evidence.corpus import Corpus, Pair
from distil.curate.evidence.found import Found
from distil.text import normalize

MIN_ANSWERS = 30
"""Fewer say nothing about what is usual."""
LEAST_SPREAD = 0.15
"""Of log characters: where nearly all answers have one length, a few characters more are not unusual."""
WORTH_NOTING = 2.0
"""Standard deviations; nearer to the middle nothing is noted."""
MIN_WORDS = 12
"""Shorter answers repeat a prompt by necessity."""
_RUN = 5
"""Words in a row that count as repeated."""
_PROBE, _PROBES = 20, 8
"""Characters of the pieces of a question that are looked for first, and how many."""
USUAL_ECHO = 0.05
"""From this share of echoes the task is to repeat: proofreading, translation between dialects, tagging."""
_ECHO_IS_RIGHT = re.compile(
    r"\b(?:proofread\w*|correct\w*|grammar|spell\w*|punctuat\w*|translat\w*|rewrit\w*|reword\w*|edit\w*|(?:re|para)phras\w*|fix\w*"
    r"|repeat\w*|copy|copies|format\w*|convert\w*|capitali\w*|upper ?case|lower ?case|extract\w*|quot\w*|transcri\w*|continu\w*"
    r"|complet\w*|fill\w*|replac\w*|insert\w*|remov\w*|delet\w*|sort\w*|improv\w*|revis\w*|highlight\w*|annotat\w*|verbatim|echo\w*)\b"
)


def length(pairs: Sequence[Pair], corpus: Corpus) -> list[Found | None]:
    """Robust standard deviations of log characters from the median (1.4826 times the median deviation), 2 or more either way."""
    sizes = np.array([math.log(1 + len(pair.answer.text)) for pair in pairs])
    spoken = np.array([bool(pair.answer.text) for pair in pairs])
    if spoken.sum() < MIN_ANSWERS:
        return [None] * len(pairs)
    middle = float(np.median(sizes[spoken]))
    spread = max(LEAST_SPREAD, 1.4826 * float(np.median(np.abs(sizes[spoken] - middle))))
    scores = np.where(spoken, (sizes - middle) / spread, 0.0)
    usual = round(math.exp(middle)) - 1
    return [
        Found(float(score), f"{len(pair.answer.text):,} characters, where {usual:,} are usual")
        if abs(score) >= WORTH_NOTING
        else None
        for pair, score in zip(pairs, scores, strict=True)
    ]


def echo(pairs: Sequence[Pair], corpus: Corpus) -> list[Found | None]:
    """The share of an answer that repeats its prompt word for word, where it repeats most of it and nothing asks for that."""
    shares = [_echoed(pair) for pair in pairs]
    echoes = sum(share >= 0.5 for share in shares)
    if len(pairs) >= MIN_ANSWERS and echoes > USUAL_ECHO * len(pairs):
        return [None] * len(pairs)
    return [
        Found(share, f"{share:.0%} of it is its prompt, word for word") if share >= 0.2 else None for share in shares
    ]


def _echoed(pair: Pair) -> float:
    """The share of the answer's words in runs of five that its last question has too; 0 for less than half of the question."""
    said = pair.answer.text
    asked = pair.prompt.messages[-1].text
    if len(said) > 3 * len(asked) or said.count(" ") < MIN_WORDS - 1 or asked.count(" ") < _RUN:
        return 0.0
    lower, question = said.lower(), asked.lower()
    step = max(1, (len(question) - _PROBE) // _PROBES)
    if not any(question[at : at + _PROBE] in lower for at in range(0, len(question) - _PROBE + 1, step)):
        return 0.0  # nearly all answers end here
    words, known = normalize(said).split(), normalize(asked).split()
    runs = {tuple(known[i : i + _RUN]) for i in range(len(known) - _RUN + 1)}
    covered = np.zeros(len(words), dtype=bool)
    for at in range(len(words) - _RUN + 1):
        if tuple(words[at : at + _RUN]) in runs:
            covered[at : at + _RUN] = True
    repeated = int(covered.sum())
    if repeated < 0.5 * len(known) or repeated < MIN_WORDS:
        return 0.0
    if any(_ECHO_IS_RIGHT.search(normalize(turn.text[:2_000])) for turn in pair.prompt.messages):
        return 0.0
    return repeated / len(words)
