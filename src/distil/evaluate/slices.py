"""The deciding metric by parts of the prompts, worst first: where a student loses.

Parts come from the length of the prompt, its group, its label (in a classification), its topic, and every column of the
user's rows with few values. All p values are corrected together (Holm), because the worst of many slices always looks bad.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from distil.embeddings.embedder import embedder
from distil.evaluate import stats
from distil.evaluate.aggregate import Groups, interval, paired
from distil.records import Example
from distil.runs.schemas.summary import Slice
from distil.text import conversation_text

MIN_PROMPTS = 10
"""Smaller parts say nothing."""
MAX_PARTS = 20
"""A column with more values than this is an id or a text."""
LENGTHS = 3
TOPIC_PROMPTS = 40
"""Prompts per topic, on average: enough for an interval."""
MAX_TOPICS = 8
MIN_TOPIC_PROMPTS = 120
WORD = re.compile(r"[^\W\d_]{3,}")


class Part(NamedTuple):
    """Some prompts that have something in common."""

    field: str
    name: str
    ids: frozenset[str]


def is_apart(example: Example, set_apart: Mapping[str, str]) -> bool:
    """Whether a test prompt is shown as a slice only (evaluate.set_apart)."""
    return any(example.fields.get(name) == value for name, value in set_apart.items())


def slices(
    values: Mapping[str, float],
    other: Mapping[str, float],
    examples: Sequence[Example],
    groups: Groups,
    *,
    set_apart: Mapping[str, str],
    topics: bool,
    confidence: float,
    seed: int = 0,
) -> list[Slice]:
    """All slices with at least 10 prompts: first those set apart, then the worst.

    `values` and `other` are the deciding metric of the student and of the teacher, both turned so that more is better.
    `topics` needs the embedding model.
    """
    counted = [example for example in examples if not is_apart(example, set_apart)]
    parts = [*known_parts(counted), *(_topics(counted, seed) if topics else [])]
    found = [_slice(part, values, other, groups, apart=False, confidence=confidence) for part in parts]
    for name, value in set_apart.items():
        ids = frozenset(e.prompt_id for e in examples if e.fields.get(name) == value)
        part = Part(name, value, ids)
        found.append(_slice(part, values, other, groups, apart=True, confidence=confidence))
    shown = [part for part in found if part is not None]
    corrected = stats.holm({f"{s.field}\0{s.name}": s.p for s in shown if s.p is not None and not s.set_apart})
    shown = [s.model_copy(update={"p_corrected": corrected.get(f"{s.field}\0{s.name}")}) for s in shown]
    return sorted(shown, key=_worst_first)


def known_parts(examples: Sequence[Example]) -> list[Part]:
    """The parts that need no model: lengths and columns. The page of `distil report` filters by the same parts."""
    return [*_lengths(examples), *_columns(examples)]


def _worst_first(part: Slice) -> tuple[bool, float, str, str]:
    loss = part.difference.mean if part.difference else part.student.mean - 1.0
    return (not part.set_apart, loss, part.field, part.name)


def _slice(
    part: Part,
    values: Mapping[str, float],
    other: Mapping[str, float],
    groups: Groups,
    *,
    apart: bool,
    confidence: float,
) -> Slice | None:
    own = {i: values[i] for i in values if i in part.ids}
    if len(own) < MIN_PROMPTS:
        return None
    theirs = {i: other[i] for i in other if i in own}
    result = None
    if len(theirs) >= MIN_PROMPTS:
        result = stats.paired_difference(*paired(own, theirs, groups), confidence=confidence)
    return Slice(
        field=part.field,
        name=part.name,
        prompts=len(own),
        set_apart=apart,
        student=interval(own, groups, confidence),
        other=interval(theirs, groups, confidence) if result else None,
        difference=stats.interval_of(result.estimate) if result else None,
        p=None if result is None or np.isnan(result.p) else result.p,
        p_corrected=None,
    )


def _lengths(examples: Sequence[Example]) -> list[Part]:
    """Short, middle and long prompts: thirds by words, cut between lengths so that no length is on two sides."""
    if len(examples) < LENGTHS * MIN_PROMPTS:
        return []
    words = np.array([_words(example) for example in examples])
    cuts = sorted({int(np.quantile(words, share)) for share in (1 / LENGTHS, 2 / LENGTHS)})
    bins = np.searchsorted(cuts, words)  # a length equal to a cut is the last of its part
    parts = []
    for index in sorted(set(bins.tolist())):
        inside = [(example, int(n)) for example, n, b in zip(examples, words, bins, strict=True) if b == index]
        shortest, longest = min(n for _, n in inside), max(n for _, n in inside)
        name = f"{shortest} words" if shortest == longest else f"{shortest} to {longest} words"
        parts.append(Part("length", name, frozenset(example.prompt_id for example, _ in inside)))
    return parts if len(parts) > 1 else []


def _words(example: Example) -> int:
    return len(example.prompt_messages[-1].text.split()) if example.prompt_messages else 0


def _columns(examples: Sequence[Example]) -> list[Part]:
    """The group, the label and every column of the rows, where they have 2 to 20 different values."""
    columns: dict[str, dict[str, list[str]]] = {}
    for example in examples:
        row = {**example.fields}
        if example.group is not None:
            row["group"] = example.group
        if example.reference is not None and len(example.reference) <= 60 and "{" not in example.reference:
            row["label"] = example.reference
        for name, value in row.items():
            columns.setdefault(name, {}).setdefault(value, []).append(example.prompt_id)
    return [
        Part(name, value, frozenset(ids))
        for name, by_value in columns.items()
        if 2 <= len(by_value) <= MAX_PARTS
        for value, ids in by_value.items()
    ]


def _topics(examples: Sequence[Example], seed: int) -> list[Part]:
    """Clusters of the prompts' embeddings (k-means, as many as give 40 prompts each), named by their most typical words."""
    from scipy.cluster.vq import kmeans2

    count = min(MAX_TOPICS, len(examples) // TOPIC_PROMPTS)
    if len(examples) < MIN_TOPIC_PROMPTS or count < 2:
        return []
    texts = [conversation_text(example.prompt_messages) for example in examples]
    _, assigned = kmeans2(embedder().vectors(texts).astype(np.float64), count, minit="++", rng=seed, missing="warn")
    words = [set(WORD.findall(text.casefold())) for text in texts]
    everywhere = Counter(word for text in words for word in text)
    parts = []
    for topic in sorted(set(assigned.tolist())):
        inside = [index for index, at in enumerate(assigned) if at == topic]
        here = Counter(word for index in inside for word in words[index])
        # a word's share here times how much more frequent it is here than everywhere
        weight = {
            word: n / len(inside) * np.log((n / len(inside)) / (everywhere[word] / len(texts)))
            for word, n in here.items()
        }
        typical = sorted(weight, key=lambda word: (-weight[word], word))[:3]
        parts.append(Part("topic", ", ".join(typical), frozenset(examples[index].prompt_id for index in inside)))
    return parts
