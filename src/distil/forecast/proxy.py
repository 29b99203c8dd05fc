"""A stand-in for a student that costs seconds: answers predicted from the prompts alone, each by a model that has not seen it.

Kernel ridge regression on one-hot values (regularized least-squares classification: Rifkin, Yeo and Poggio 2003), all fields of
an answer in one solve. Values that are copied from the prompt are found by their shape (copying.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from distil.forecast.answers import Target
from distil.forecast.copying import Copier, Pieces
from distil.forecast.features import Matrix

FOLDS = 5
RIDGE = 0.2
Rows = npt.NDArray[np.intp]


class Predicted(NamedTuple):
    """What was predicted for some requests."""

    right: npt.NDArray[np.bool_]
    """(n,) every field is as the teacher's."""
    confidence: npt.NDArray[np.float64]
    """(n,) by how much the best value leads, in the least certain field."""
    fields: dict[str, float]
    """Field -> share that is right; one with an empty name for a whole answer."""


def folds_of(components: Sequence[Sequence[int]], count: int) -> Rows:
    """(count,) the fold of each row: rows that belong together share one, and folds are about equal."""
    fold = np.zeros(count, dtype=np.intp)
    sizes = [0] * FOLDS
    order = np.random.default_rng(0).permutation(len(components))
    for index in sorted(order, key=lambda i: -len(components[i])):
        smallest = int(np.argmin(sizes))
        fold[list(components[index])] = smallest
        sizes[smallest] += len(components[index])
    return fold


def cross_validated(kernel: Matrix, pieces: Sequence[Pieces], targets: Sequence[Target], folds: Rows) -> Predicted:
    """Every request predicted from the folds that it is not in. pieces: of each request, where a target is open."""
    count = len(kernel)
    right = np.zeros(count, dtype=bool)
    confidence = np.zeros(count)
    by_field = {target.name: 0.0 for target in targets}
    for fold in range(FOLDS):
        test, train = np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)
        if test.size and train.size:
            found = predict(kernel, pieces, targets, train, test)
            right[test], confidence[test] = found.right, found.confidence
            for name, share in found.fields.items():
                by_field[name] += share * test.size / count
    return Predicted(right, confidence, by_field)


def predict(kernel: Matrix, pieces: Sequence[Pieces], targets: Sequence[Target], train: Rows, test: Rows) -> Predicted:
    """The test rows' answers, from the training rows."""
    closed = [target for target in targets if target.closed]
    scores = _scores(kernel, closed, train, test)
    right, confidence = np.ones(test.size, dtype=bool), np.full(test.size, 2.0)
    fields: dict[str, float] = {}
    for target in targets:
        if target.closed:
            names, columns = scores[target.name]
            chosen, lead = _best(columns)
            guesses = [names[index] for index in chosen]
        else:
            copier = Copier([pieces[i] for i in train], [target.values[i] for i in train])
            found = [copier.guess(pieces[i]) for i in test]
            guesses, lead = [guess for guess, _ in found], np.array([sure for _, sure in found])
        hit = np.array([guess == target.values[i] for guess, i in zip(guesses, test, strict=True)])
        fields[target.name] = float(hit.mean())
        right &= hit
        confidence = np.minimum(confidence, lead)
    return Predicted(right, confidence, fields)


def _scores(
    kernel: Matrix, targets: Sequence[Target], train: Rows, test: Rows
) -> dict[str, tuple[list[str], npt.NDArray[np.float64]]]:
    """Target -> (its values, (tests, values) scores); one solve for all."""
    if not targets:
        return {}
    names, blocks = [], []
    for target in targets:
        values = [target.values[i] for i in train]
        names.append(sorted(set(values)))
        place = {value: index for index, value in enumerate(names[-1])}
        block = np.zeros((train.size, len(place)), dtype=np.float32)
        block[np.arange(train.size), [place[value] for value in values]] = 1
        blocks.append(block)
    wanted = np.concatenate(blocks, axis=1)
    mean = wanted.mean(axis=0)
    inside = kernel[np.ix_(train, train)] + RIDGE * np.eye(train.size, dtype=np.float32)
    weights = np.linalg.solve(inside, wanted - mean)
    scores = np.asarray(kernel[np.ix_(test, train)] @ weights + mean, dtype=np.float64)
    edges = np.cumsum([len(name) for name in names])[:-1]
    parts = np.split(scores, edges, axis=1)
    return {target.name: (name, part) for target, name, part in zip(targets, names, parts, strict=True)}


def _best(scores: npt.NDArray[np.float64]) -> tuple[list[int], npt.NDArray[np.float64]]:
    """The highest column of each row, and how far it leads the next."""
    chosen = scores.argmax(axis=1)
    if scores.shape[1] == 1:
        return list(chosen), np.ones(len(scores))
    top = np.partition(scores, -2, axis=1)
    return list(chosen), top[:, -1] - top[:, -2]
