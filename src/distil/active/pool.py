"""The prompts that may be asked, and what speaks against some: an answer there already, or a held-out prompt like them.

A prompt that belongs to a held-out one (a near-duplicate, a group, a conversation) would be dropped by curate after it was paid
for, and one that is nearly the same as an answered one teaches nothing new.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from distil.active.choose import Floats, trusted
from distil.curate.config import CurateConfig
from distil.curate.diverse import Vectors, text_vectors, topics
from distil.curate.evidence.corpus import Pair
from distil.curate.similar import linked_rows, near_pairs, shingle_sets
from distil.curate.split.assign import assign
from distil.curate.split.fill import Sizes
from distil.curate.split.links import Row, compared_text, document_keys, make_items
from distil.curate.votes import count_votes, describe_task
from distil.ids import stable_hash
from distil.records import Answer, Prompt, Split
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_records
from distil.runs.schemas.active import PURPOSE

POOLED = "it is only trained on"


class Pool(NamedTuple):
    """Prompts that may be asked, and the answered ones, as vectors of their texts."""

    prompts: list[Prompt]
    vectors: Vectors
    """(prompts, dimensions) unit vectors."""
    answered: list[Prompt]
    answered_vectors: Vectors


def shuffled(prompts: Iterable[Prompt], seed: int, purpose: str = PURPOSE) -> list[Prompt]:
    """In an order that is random and the same in every run."""
    return sorted(prompts, key=lambda prompt: stable_hash(seed, purpose, prompt.id))


def marked(prompts: Iterable[Prompt]) -> list[Prompt]:
    """Those that the user's file marks as test or validation."""
    return [prompt for prompt in prompts if prompt.split in ("test", "validation")]


def pool_of(
    open_prompts: Sequence[Prompt], answered: Sequence[Prompt], sides: Mapping[str, Split], section: CurateConfig
) -> Pool:
    """Of prompts without an answer, those that are worth one; of each heap of near-duplicates the first.

    sides: of the answered prompts that have one.
    """
    every = [*answered, *open_prompts]
    documents = document_keys(every)
    sets = shingle_sets([compared_text(prompt, documents) for prompt in every])
    items = make_items([Row(prompt, ()) for prompt in every], {})
    start = len(answered)
    items[start:] = [item._replace(train_only=POOLED) for item in items[start:]]
    near = section.near_duplicates
    split = assign(items, sets, near=near, sizes=Sizes(0, 0.0, section.seed), remembered=sides)
    out = {leak.row for leak in split.leaks}
    alike = linked_rows(near_pairs(sets, 1.0 if near is None else near))
    out |= {int(row) for rows in alike for row in rows[1:]}  # the first is an answered one, where there is one
    kept = [row for row in range(start, len(every)) if row not in out]
    vectors = text_vectors(sets)
    return Pool([every[row] for row in kept], vectors[kept], list(answered), vectors[:start])


def along_topics(pool: Pool, rng: np.random.Generator) -> list[int]:
    """Positions of the pool, topic after topic, in random order within each and among them."""
    if not pool.prompts:
        return []
    found = topics(pool.vectors, int(rng.integers(2**31)))
    place = rng.permutation(int(found.max()) + 1)
    mixed = rng.permutation(len(found))
    return sorted(mixed.tolist(), key=lambda row: int(place[found[row]]))


def expected_consistency(pool: Pool, answers: Mapping[str, Sequence[Answer]]) -> Floats | None:
    """(n,) how much the teacher is expected to agree with itself on each prompt; None where no prompt has two answers to compare.

    answers: by prompt id. Open texts can't be compared by value.
    """
    given = {prompt.id: answers.get(prompt.id, ()) for prompt in pool.answered}
    task = describe_task([Pair(prompt, answer) for prompt in pool.answered for answer in given[prompt.id]])
    rows, shares = [], []
    for row, prompt in enumerate(pool.answered):
        several = given[prompt.id]
        if len(several) > 1 and (vote := count_votes(prompt, several, task)).decides:
            rows.append(row)
            shares.append(max(vote.votes) / len(several))
    if not rows or not pool.prompts:
        return None
    return trusted(np.asarray(pool.vectors @ pool.answered_vectors[rows].T, dtype=np.float64), np.array(shares))


def read_answers(project: Project, wanted: Collection[str] | None = None) -> dict[str, list[Answer]]:
    """Prompt id -> its answers. wanted: only of these prompts."""
    found: dict[str, list[Answer]] = defaultdict(list)
    for answer in read_records(project.answers, Answer) if project.answers.exists() else ():
        if wanted is None or answer.prompt_id in wanted:
            found[answer.prompt_id].append(answer)
    return found
