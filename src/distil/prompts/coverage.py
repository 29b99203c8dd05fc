"""Which kinds of prompts there are, and which are rare: spherical k-means in numpy, over hashed TF-IDF vectors or embeddings.

Without embeddings: words and word pairs (of scripts without blanks, pairs and triples of characters), no model and no download,
good enough to tell topics apart, but not meanings.
"""

from __future__ import annotations

import math
import unicodedata
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from distil.prompts.novelty import features
from distil.records import Record
from distil.text import one_line
from distil.words import is_unspaced, runs

Vectors = npt.NDArray[np.float32]
Embed = Callable[[Sequence[str]], Vectors]
"""Texts -> (texts, width) unit vectors."""
DIMENSIONS = 1024
AT_ONCE = 2_000
"""Texts whose vectors are in memory at once."""
MAX_LABELED = 1_000
"""Texts of a cluster, and of all, that its name is made from."""
MAX_RUN, MAX_STRETCH = 60, 12
ROUNDS = 25
MAX_FIT = 3_000
"""Clusters are fitted on at most this many prompts; the others are only assigned."""
STARTS = 6
GAP = 0.5
"""A cluster with less than this fraction of an equal share is a gap."""
LABEL_WORDS = 4
_STOP_WORDS = """
a an and are as at be but by can do for from have how i if in is it me my no not of on or our please so that the this to was we
what when where which who why will with would you your
"""
_STOP = frozenset(_STOP_WORDS.split())


class Cluster(Record):
    """One kind of prompts."""

    words: str
    """The words that set it apart, most telling first."""
    before: int
    """The user's prompts in it."""
    after: int
    """Prompts in it, with the new ones."""
    example: str
    """The prompt closest to the center, shortened."""
    gap: bool
    """It has less than half of an equal share, even after expanding."""


class Clustering:
    """Fitted on the user's prompts; `assign` puts any text into one of its clusters.

    embed: texts -> unit vectors; None: hashed TF-IDF of the features of novelty.py, which know words and no meanings.
    """

    def __init__(
        self, texts: Sequence[str], seed: int = 0, clusters: int | None = None, embed: Embed | None = None
    ) -> None:
        rng = np.random.default_rng(seed)
        sample = list(texts)
        if len(texts) > MAX_FIT:
            sample = [texts[index] for index in np.sort(rng.choice(len(texts), MAX_FIT, replace=False))]
        self._vectors = embed or _Hashed(sample).vectors
        self.centers = k_means(self._vectors(sample), clusters or cluster_count(len(texts)), rng)
        self.labels, self.closeness = self._nearest(texts)
        """The cluster of each text, and the cosine to its center."""

    def assign(self, texts: Sequence[str]) -> list[int]:
        """The cluster of each text."""
        return self._nearest(texts)[0].tolist() if texts else []

    def _nearest(self, texts: Sequence[str]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        labels, closeness = np.zeros(len(texts), dtype=np.int64), np.zeros(len(texts), dtype=np.float32)
        for start in range(0, len(texts), AT_ONCE):
            some = slice(start, start + AT_ONCE)
            cosines = self._vectors(texts[some]) @ self.centers.T
            labels[some], closeness[some] = np.argmax(cosines, axis=1), np.max(cosines, axis=1)
        return labels, closeness


class _Hashed:
    """Hashed TF-IDF vectors; the weights are those of the fitted texts."""

    def __init__(self, texts: Sequence[str]) -> None:
        counts = [_hashed(text) for text in texts]
        documents = np.zeros(DIMENSIONS)
        for count in counts:
            documents[list(count)] += 1
        idf = (np.log((1 + len(texts)) / (1 + documents)) + 1).astype(np.float32)
        # A feature of a single text links it to no other; it counts only where texts share hardly anything.
        self._idf = np.where(documents >= 2, idf, 0).astype(np.float32)
        if np.mean([bool(self._idf[list(count)].any()) for count in counts]) < 0.5:
            self._idf = idf

    def vectors(self, texts: Sequence[str]) -> Vectors:
        """(texts, DIMENSIONS), of unit length."""
        vectors = np.zeros((len(texts), DIMENSIONS), dtype=np.float32)
        for row, count in enumerate(map(_hashed, texts)):
            if count:
                vectors[row, list(count)] = 1 + np.log(np.fromiter(count.values(), dtype=np.float32))
        vectors *= self._idf
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)


def cluster_count(texts: int) -> int:
    """About sqrt(n / 2), from 1 to 50."""
    return max(1, min(50, texts, round(math.sqrt(texts / 2))))


def k_means(vectors: Vectors, count: int, rng: np.random.Generator) -> Vectors:
    """Unit-length centers, (count, DIMENSIONS): the best of a few starts, because a single one often gets stuck."""
    starts = [_k_means_once(vectors, count, rng) for _ in range(STARTS)]
    return max(starts, key=lambda centers: float(np.max(vectors @ centers.T, axis=1).sum()))


def _k_means_once(vectors: Vectors, count: int, rng: np.random.Generator) -> Vectors:
    """k-means++ seeding (Arthur and Vassilvitskii 2007), cosine distance."""
    chosen = [int(rng.integers(len(vectors)))]
    closest = 1 - vectors @ vectors[chosen[0]]
    while len(chosen) < count:
        weights = np.maximum(closest, 0).astype(np.float64)
        total = weights.sum()
        if total <= 1e-9:
            break  # fewer distinct texts than clusters
        chosen.append(int(rng.choice(len(vectors), p=weights / total)))
        closest = np.minimum(closest, 1 - vectors @ vectors[chosen[-1]])
    centers = vectors[chosen].copy()
    labels = np.full(len(vectors), -1)
    for _ in range(ROUNDS):
        fresh = np.argmax(vectors @ centers.T, axis=1)
        if np.array_equal(fresh, labels):
            break
        labels = fresh
        for cluster in range(len(centers)):
            members = vectors[labels == cluster]
            if len(members):
                centers[cluster] = members.mean(axis=0)
        centers /= np.maximum(np.linalg.norm(centers, axis=1, keepdims=True), 1e-9)
    return centers


def describe_clusters(clustering: Clustering, texts: Sequence[str], new_labels: Sequence[int]) -> list[Cluster]:
    """The clusters, rarest first."""
    before = Counter(int(label) for label in clustering.labels)
    after = before + Counter(new_labels)
    step = max(1, len(texts) // MAX_LABELED)
    overall = Counter(term for text in texts[::step] for term in _terms(text))
    fair = after.total() / max(1, len(after))
    clusters = []
    for cluster in sorted(after, key=lambda number: after[number]):
        members = np.flatnonzero(clustering.labels == cluster)
        middle = int(members[np.argmax(clustering.closeness[members])])
        shown = [texts[index] for index in members[:: max(1, len(members) // MAX_LABELED)]]
        clusters.append(
            Cluster(
                words=", ".join(_label(shown, overall, len(texts[::step]))),
                before=before[cluster],
                after=after[cluster],
                example=one_line(texts[middle], 80),
                gap=after[cluster] < GAP * fair,
            )
        )
    return clusters


def _label(members: Sequence[str], overall: Counter[str], total: int) -> list[str]:
    """The words that are in many of the members and in few other texts; none is a part of another one."""
    inside = Counter(term for text in members for term in _terms(text))
    score = {
        term: (count / len(members)) * math.log((1 + total) / (1 + overall[term])) * _weight(term)
        for term, count in inside.items()
    }
    chosen: list[str] = []
    for term in sorted(score, key=lambda term: (-score[term], term)):
        if not any(term in other or other in term for other in chosen if not other.isascii()):
            chosen.append(term)
        if len(chosen) == LABEL_WORDS:
            break
    return chosen


def _weight(term: str) -> float:
    """A stretch of a script without blanks says the more, the longer it is: its parts are in as many texts."""
    return math.sqrt(len(term)) if is_unspaced(term) else 1.0


def _terms(text: str) -> set[str]:
    """Words that may name a kind of prompts; of scripts without blanks, stretches of 2 to 12 characters."""
    found = set[str]()
    for run, unspaced in runs(text):
        if unspaced:
            found.update(_stretches(run[:MAX_RUN]))
        elif len(run) > 1 and run not in _STOP and not run.isdigit():
            found.add(run)
    return found


def _stretches(run: str) -> Iterator[str]:
    """All of them that part no sign from the marks that belong to it."""
    cuts = [at for at in range(len(run) + 1) if at == len(run) or unicodedata.category(run[at])[0] != "M"]
    for index, start in enumerate(cuts):
        for end in cuts[index + 1 :]:
            if end - start > MAX_STRETCH:
                break
            if end - start >= 2:
                yield run[start:end]


def _hashed(text: str) -> Counter[int]:
    """Hashed words and word pairs of a text. crc32 is the same in every process, unlike hash()."""
    return Counter(zlib.crc32(feature.encode("utf-8", "surrogatepass")) % DIMENSIONS for feature in features(text))
