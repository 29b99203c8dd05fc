"""Which kinds of prompts there are, and which are rare: hashed TF-IDF vectors and spherical k-means, in numpy.

Words and word pairs, no model and no download: good enough to tell topics apart, but not meanings.
"""

from __future__ import annotations

import math
import zlib
from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from distil.prompts.novelty import features
from distil.records import Record

Vectors = npt.NDArray[np.float32]
DIMENSIONS = 1024
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
    """Fitted on the user's prompts; `assign` puts any text into one of its clusters."""

    def __init__(self, texts: Sequence[str], seed: int = 0, clusters: int | None = None) -> None:
        counts = [_hashed(text) for text in texts]
        documents = np.zeros(DIMENSIONS)
        for count in counts:
            documents[list(count)] += 1
        idf = (np.log((1 + len(texts)) / (1 + documents)) + 1).astype(np.float32)
        # A feature of a single text links it to no other; it counts only where texts share hardly anything.
        self._idf = np.where(documents >= 2, idf, 0).astype(np.float32)
        self.vectors = self._weigh(counts)  # (texts, DIMENSIONS)
        if np.mean(np.any(self.vectors, axis=1)) < 0.5:
            self._idf = idf
            self.vectors = self._weigh(counts)
        rng = np.random.default_rng(seed)
        sample = self.vectors
        if len(sample) > MAX_FIT:
            sample = sample[np.sort(rng.choice(len(sample), MAX_FIT, replace=False))]
        self.centers = k_means(sample, clusters or cluster_count(len(texts)), rng)
        self.labels = self._nearest(self.vectors)

    def assign(self, texts: Sequence[str]) -> list[int]:
        """The cluster of each text."""
        return self._nearest(self._weigh([_hashed(text) for text in texts])).tolist() if texts else []

    def _nearest(self, vectors: Vectors) -> npt.NDArray[np.int64]:
        return np.argmax(vectors @ self.centers.T, axis=1)

    def _weigh(self, counts: Sequence[Counter[int]]) -> Vectors:
        vectors = np.zeros((len(counts), DIMENSIONS), dtype=np.float32)
        for row, count in enumerate(counts):
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
    overall = Counter(word for text in texts for word in _words(text))
    fair = after.total() / max(1, len(after))
    clusters = []
    for cluster in sorted(after, key=lambda number: after[number]):
        members = [index for index, label in enumerate(clustering.labels) if label == cluster]
        middle = max(members, key=lambda index: float(clustering.vectors[index] @ clustering.centers[cluster]))
        clusters.append(
            Cluster(
                words=", ".join(_label([texts[index] for index in members], overall, len(texts))),
                before=before[cluster],
                after=after[cluster],
                example=_shorten(texts[middle]),
                gap=after[cluster] < GAP * fair,
            )
        )
    return clusters


def _shorten(text: str, length: int = 80) -> str:
    """One line of at most `length` characters."""
    line = " ".join(text.split())
    return line if len(line) <= length else line[: length - 3] + "..."


def _label(members: Sequence[str], overall: Counter[str], total: int) -> list[str]:
    """The words that are in many of the members and in few other texts."""
    inside = Counter(word for text in members for word in _words(text))
    score = {
        word: (count / len(members)) * math.log((1 + total) / (1 + overall[word])) for word, count in inside.items()
    }
    return sorted(score, key=lambda word: (-score[word], word))[:LABEL_WORDS]


def _words(text: str) -> set[str]:
    return {
        word
        for word in features(text)
        if len(word) > 1 and " " not in word and word not in _STOP and not word.isdigit()
    }


def _hashed(text: str) -> Counter[int]:
    """Hashed words and word pairs of a text. crc32 is the same in every process, unlike hash()."""
    return Counter(zlib.crc32(feature.encode("utf-8", "surrogatepass")) % DIMENSIONS for feature in features(text))
