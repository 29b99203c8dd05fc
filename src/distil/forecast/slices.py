"""Which kinds of requests a log holds: by what is offered and shown, by the template that they share, else by meaning.

A template is a beginning that many requests share: of the system prompt, or of the question where there is none. Beginnings
are followed word by word, digits alike, and part where several ways go on often enough; those whose texts are nearly equal all
the same (a customer's name in the first line) are joined again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from distil.curate.shingles import Shingles, jaccard, shingles
from distil.curate.split.meaning import installed as can_embed
from distil.forecast.answers import MOSTLY
from distil.forecast.features import meaning_vectors, word_vectors
from distil.forecast.traffic import Request
from distil.text import one_line, parse_answer

LEAST = 20
"""Requests of a slice, and LEAST_SHARE of all: fewer go to the rest."""
LEAST_SHARE = 0.02
DEEPEST = 120
"""Words of a beginning that are followed."""
OF_INSTRUCTIONS, OF_QUESTIONS = 3, 8
"""Words that requests must share to be of one template: people begin many questions with the same five."""
ALIKE = 0.6
"""Jaccard similarity of two templates that are one with another name in it."""
CLUSTERS = 4
MIXED_ROWS = 200
"""Requests without a template, of mixed kinds of answers, from which they are parted by meaning."""
MOST = 12
"""Slices at most; the smallest of the others are one."""
_DIGITS = re.compile(r"\d+")
_STOP = frozenset(
    re.findall(
        r"\w+", "the and for you your with this that are was have has what how can not from but would will about"
    )
)


class Slice(NamedTuple):
    """One kind of requests."""

    name: str
    """For a person: its template, or the words that are typical of it."""
    how: str
    """What its requests share."""
    rows: list[int]


def find_slices(requests: Sequence[Request]) -> list[Slice]:
    """Every request is in one slice; those with most requests first."""
    found: list[Slice] = []
    attached = [i for i, request in enumerate(requests) if request.attached]
    tools = [i for i, request in enumerate(requests) if request.tools and not request.attached]
    plain = [i for i, request in enumerate(requests) if not request.tools and not request.attached]
    if attached:
        found.append(Slice("requests with images, sound or files", "attachments", attached))
    for rows, offered in ((tools, True), (plain, False)):
        found += _by_template(requests, rows, offered)
    found.sort(key=lambda one: (-len(one.rows), one.name))
    if len(found) > MOST:
        rest = [row for one in found[MOST - 1 :] for row in one.rows]
        found = [*found[: MOST - 1], Slice(f"{len(found) - MOST + 1} small kinds", "the rest", sorted(rest))]
    return found


def _by_template(requests: Sequence[Request], rows: list[int], offered: bool) -> list[Slice]:
    told = [i for i in rows if requests[i].told.strip()]
    bare = [i for i in rows if not requests[i].told.strip()]
    suffix = ", with tools" if offered else ""
    slices, rest = _templates([requests[i].told for i in told], told, OF_INSTRUCTIONS, "system prompt" + suffix)
    more, left = _templates([requests[i].asked for i in bare], bare, OF_QUESTIONS, "beginning of the question" + suffix)
    slices += more
    pool = [*rest, *left]
    if not pool:
        return slices
    return slices + _by_meaning(requests, pool, suffix)


def _templates(texts: Sequence[str], rows: Sequence[int], least: int, how: str) -> tuple[list[Slice], list[int]]:
    """(slices, the rows of none). texts: of each row."""
    words = [_DIGITS.sub("0", text).split()[:DEEPEST] for text in texts]
    enough = max(LEAST, LEAST_SHARE * len(texts))
    leaves: list[tuple[int, list[int]]] = []

    def follow(members: list[int], depth: int) -> None:
        while True:
            ways: dict[str, list[int]] = {}
            for member in members:
                ways.setdefault(words[member][depth] if depth < len(words[member]) else "", []).append(member)
            large = [key for key, way in ways.items() if len(way) >= enough and key]
            if not large or depth >= DEEPEST:
                leaves.append((depth, members))
                return
            if len(ways) > 1:
                break
            depth += 1
        for key in large:
            follow(ways[key], depth + 1)
        rest = [member for key, way in ways.items() if key not in large for member in way]
        if rest:
            leaves.append((depth, rest))

    if texts:
        follow(list(range(len(texts))), 0)
    slices, left = [], list[int]()
    for depth, members in _joined(leaves, texts):
        whole = len({texts[member] for member in members}) == 1 and len(members) >= min(LEAST, len(texts))
        if (depth >= least or whole) and len(members) >= min(enough, len(texts)):
            beginning = " ".join(texts[members[0]].split()[: max(depth, 1)])
            slices.append(Slice(one_line(beginning, 60), how, sorted(rows[member] for member in members)))
        else:
            left += [rows[member] for member in members]
    return slices, left


def _joined(leaves: Sequence[tuple[int, list[int]]], texts: Sequence[str]) -> list[tuple[int, list[int]]]:
    """Leaves whose texts are nearly the same are one template."""
    joined: list[tuple[int, list[int]]] = []
    signs = list[Shingles]()
    for depth, members in sorted(leaves, key=lambda leaf: -len(leaf[1])):
        own = shingles(texts[members[0]])
        place = next((i for i, sign in enumerate(signs) if jaccard(own, sign) >= ALIKE), None)
        if place is None:
            signs.append(own)
            joined.append((depth, list(members)))
        else:
            joined[place] = (max(min(depth, joined[place][0]), OF_INSTRUCTIONS), joined[place][1] + members)
    return joined


def _by_meaning(requests: Sequence[Request], pool: list[int], suffix: str) -> list[Slice]:
    """One slice where the answers are of one kind; else clusters of the questions."""
    kinds = [_rough_kind(requests[i]) for i in pool]
    uniform = max(kinds.count(kind) for kind in set(kinds)) >= MOSTLY * len(pool)
    if uniform or len(pool) < MIXED_ROWS:
        return [Slice(f"requests without a template{suffix}", "no template", sorted(pool))]
    chosen = [requests[i] for i in pool]
    vectors = meaning_vectors(chosen) if can_embed() else word_vectors([request.asked for request in chosen])
    nearest, whole = _clusters(vectors), _counts(request.asked for request in chosen)
    found = []
    for cluster in range(CLUSTERS):
        rows = [row for row, at in zip(pool, nearest, strict=True) if at == cluster]
        if rows:
            name = ", ".join(_typical(_counts(requests[i].asked for i in rows), whole))
            found.append(Slice(f"about: {name}{suffix}", "meaning", sorted(rows)))
    return found


def _rough_kind(request: Request) -> str:
    if request.calls:
        return "calls"
    if parse_answer(request.answer) is not None:
        return "JSON"
    return "short" if len(request.answer.split()) <= 12 else "long"


def _clusters(vectors: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> list[int]:
    """k-means on the sphere, from the points that are farthest from each other."""
    centers = vectors[[0]]
    for _ in range(CLUSTERS - 1):
        centers = np.vstack([centers, vectors[(vectors @ centers.T).max(axis=1).argmin()]])
    nearest = np.zeros(len(vectors), dtype=np.intp)
    for _ in range(20):
        nearest = (vectors @ centers.T).argmax(axis=1)
        means = [vectors[nearest == k].mean(axis=0) if (nearest == k).any() else centers[k] for k in range(CLUSTERS)]
        centers = np.stack([mean / max(float(np.linalg.norm(mean)), 1e-9) for mean in means])
    return [int(at) for at in nearest]


def _counts(texts: Iterable[str]) -> dict[str, int]:
    """Word -> the texts that it is in."""
    found: dict[str, int] = {}
    for text in texts:
        for word in set(re.findall(r"[^\W\d_]{3,}", text.lower())) - _STOP:
            found[word] = found.get(word, 0) + 1
    return found


def _typical(here: Mapping[str, int], whole: Mapping[str, int]) -> list[str]:
    """Three words that are more common here than in the whole."""
    score = {word: count * count / whole[word] for word, count in here.items()}
    return sorted(score, key=lambda word: (-score[word], word))[:3] or ["other"]
