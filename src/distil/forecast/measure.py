"""One slice, measured: what its answers are like, how well they are predicted, and how many a student would answer."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from distil.curate.shingles import Shingles
from distil.curate.similar import near_pairs, shingle_sets
from distil.curate.split.components import Edges, Near
from distil.curate.split.links import Row, make_items
from distil.curate.split.templates import split_templates
from distil.forecast.agreement import Agreement, agreement
from distil.forecast.answers import Answers, look
from distil.forecast.copying import pieces_of
from distil.forecast.features import WORD_CHARACTERS, Kernels, Matrix, asked_text, kernels
from distil.forecast.proxy import Predicted, Rows, cross_validated, folds_of
from distil.forecast.quality import Draws, Measured, draw, learning_curve, weights_of
from distil.forecast.traffic import Request
from distil.records import Prompt
from distil.runs.schemas.learning_curve import Forecast

LEAST_ROWS = 50
"""Requests of a slice from which anything is said of its quality."""
MOST_ROWS = 4_000
"""Requests of a slice that are predicted: the work grows with their square and cube."""
AHEAD = 1
"""Place in the learning curve of four times the examples: further than that is not forecast."""
NEAR = 0.85
"""Jaccard similarity of two requests that belong together, as in curate."""


class SliceMeasure(NamedTuple):
    """What was measured of a slice."""

    answers: Answers
    agreement: Agreement | None
    """Between answers to the same request."""
    repeated: float
    """Share of requests that are in it more than once."""
    best: Draws | None
    """By the predictor that knows more; None: nothing is predicted here."""
    words: Draws | None
    """By words alone."""
    ahead: Draws | None
    """By the better one with AHEAD times the examples, as its learning curve goes on."""
    fields: dict[str, float]
    curve: list[Forecast]
    """Gains of 2, 4 and 8 times the examples; empty: unknown."""


def measure(requests: Sequence[Request], target: float, advance: Callable[[], None]) -> SliceMeasure:
    """At least one request. target: the share of a student's answers that must be right; advance: called as parts are done."""
    answers = look(requests)
    questions = Counter(request.question for request in requests)
    agreed = agreement([r.question for r in requests], [r.key for r in requests])
    repeated = 1 - len(questions) / len(requests)
    chosen = list(requests) if len(requests) <= MOST_ROWS else random.Random(0).sample(requests, MOST_ROWS)
    unmeasured = SliceMeasure(answers, agreed, repeated, None, None, None, {}, [])
    if len(chosen) < LEAST_ROWS or not answers.targets:
        return unmeasured
    components = components_of(chosen)
    group = np.zeros(len(chosen), dtype=np.intp)
    for number, rows in enumerate(components):
        group[list(rows)] = number
    answers = look(chosen, group.tolist())
    if not answers.targets:  # with near-copies counted once, nothing repeats
        return unmeasured._replace(answers=answers)
    advance()
    alike = kernels(chosen)
    advance()
    found = _predict(chosen, answers, alike, components, group, target, advance)
    return found._replace(agreement=agreed, repeated=repeated)


def components_of(requests: Sequence[Request]) -> list[list[int]]:
    """What belongs together, as curate's split decides it: repeats, near-duplicates, one conversation, one document."""
    prompts = [Prompt.make(list(request.messages)) for request in requests]
    sets = shingle_sets([asked_text(request, WORD_CHARACTERS) for request in requests])
    reduced, pairs = split_templates(sets, NEAR, _near, _near(sets, NEAR))
    edges = Edges(make_items([Row(prompt, ()) for prompt in prompts], {}), pairs)
    return edges.components(range(len(reduced)), len(reduced))


def _near(sets: Sequence[Shingles], near: float) -> list[Near]:
    return [Near(pair.first, pair.second, "near") for pair in near_pairs(sets, near)]


def _predict(
    requests: Sequence[Request],
    answers: Answers,
    alike: Kernels,
    components: Sequence[Sequence[int]],
    group: Rows,
    target: float,
    advance: Callable[[], None],
) -> SliceMeasure:
    """group: (n,) the component of each request."""
    folds = folds_of(components, len(requests))
    weights = weights_of(group, seed=0)
    usd = np.array([request.usd or 0.0 for request in requests])
    copied = any(not target.closed for target in answers.targets)
    pieces = [pieces_of(f"{request.told}\n{request.asked}") for request in requests] if copied else []

    def seen_by(kernel: Matrix) -> Predicted:
        found = cross_validated(kernel, pieces, answers.targets, folds)
        advance()
        return found

    def drawn(found: Predicted, errors: float = 1.0) -> Draws:
        right = np.asarray(1.0 - (1.0 - found.right) * errors, dtype=np.float64)
        return draw(Measured(right, found.confidence, group), usd, target, weights)

    predicted = seen_by(alike.best)
    best = drawn(predicted)
    words = best if alike.meaning is None else drawn(seen_by(alike.words))
    curve = learning_curve(alike.best, pieces, answers.targets, components)
    advance()
    wrong = 1 - float(best.quality[0])
    left = max(0.0, wrong - max(0.0, curve[AHEAD].high)) / wrong if curve and wrong else 1.0
    return SliceMeasure(answers, None, 0.0, best, words, drawn(predicted, left), predicted.fields, curve)
