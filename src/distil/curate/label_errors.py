"""Wrong labels without a reference: an answer whose label none of the most similar prompts has.

k nearest neighbors (Cover and Hart 1967; edited by Wilson 1972) over MiniLM vectors, or over TF-IDF of character n-grams where
the packages of `distil[evaluate]` are missing. For classifications only: open texts have no label to disagree about.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from distil.curate.evidence.corpus import Corpus, Pair
from distil.curate.evidence.found import Found
from distil.curate.label_vectors import similarities
from distil.curate.votes import describe_task, final_of, groups
from distil.text import conversation_text

NEIGHBORS = 10
"""Most similar prompts that are asked."""
LEAST_EACH = 5
"""Prompts that a label must have: the neighbors of a rarer one are others, whether it is right or not."""
Labels = NDArray[np.int64]


def label_agreement(pairs: Sequence[Pair], corpus: Corpus) -> list[Found | None]:
    """Signal `label_agreement`: the share of the 10 most similar other prompts with the same label.

    None for answers that are not a label, for labels of fewer than five prompts, and for all answers where the task is not a
    classification. Costs one embedding per prompt (about 8 ms of CPU for a short question) and the square of their number.
    """
    task = describe_task(pairs)
    labels = {
        pair.answer.id: final.key
        for pair in pairs
        if task.labels and (final := final_of(*pair, task)).kind == "label" and final.key in task.labels
    }
    of_prompt: dict[str, str] = {}
    for id_, group in groups(pairs).items():  # a prompt counts once among the neighbors, with its most frequent label
        votes = Counter(labels[pair.answer.id] for pair in group if pair.answer.id in labels)
        if votes:
            of_prompt[id_] = votes.most_common(1)[0][0]
    prompts = {pair.prompt.id: pair.prompt for pair in pairs if pair.prompt.id in of_prompt}
    frequent = Counter(of_prompt.values())
    if len(prompts) <= NEIGHBORS:
        return [None] * len(pairs)
    texts = [conversation_text(prompt.messages) for prompt in prompts.values()]
    near = dict(zip(prompts, neighbor_labels(texts, [of_prompt[id_] for id_ in prompts]), strict=True))
    found: list[Found | None] = []
    for prompt, answer in pairs:
        label = labels.get(answer.id)
        if label is None or frequent[label] < LEAST_EACH:
            found.append(None)
            continue
        counts = near[prompt.id]
        other, count = counts.most_common(1)[0]
        detail = f"{label}: {counts[label]} of the {NEIGHBORS} most similar prompts"
        if other != label:
            detail += f" ({count} have {other})"
        found.append(Found(counts[label] / NEIGHBORS, detail))
    return found


def neighbor_labels(texts: Sequence[str], labels: Sequence[str]) -> list[Counter[str]]:
    """The labels of the 10 texts most similar to each one, itself apart."""
    numbers: dict[str, int] = defaultdict(lambda: len(numbers))
    codes = np.array([numbers[label] for label in labels])
    names = list(numbers)
    return [Counter(names[code] for code in codes[row]) for row in _nearest(texts)]


def _nearest(texts: Sequence[str]) -> Iterator[Labels]:
    """(10,) the indices of the most similar texts, for every text in order."""
    for start, block in similarities(texts):
        rows = np.arange(len(block))
        block[rows, start + rows] = -np.inf
        yield from np.argpartition(-block, NEIGHBORS, axis=1)[:, :NEIGHBORS]
