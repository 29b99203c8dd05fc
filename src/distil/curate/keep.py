"""Which training rows are kept when there are more than wanted: a diverse subset, and labels or topics in balance.

Only train is cut: validation and test show the world as it is. What is left out is in dropped.jsonl, as `keep` or `balance`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from distil.curate.diverse import Vectors, pick, text_vectors, topics
from distil.curate.similar import shingle_sets
from distil.embeddings.embedder import embedder
from distil.errors import UserError
from distil.records import Split, Verdict
from distil.text import answer_key, conversation_text, one_line

if TYPE_CHECKING:
    from distil.curate.config import CurateConfig
    from distil.curate.evidence.corpus import Pair

LABEL_REPEATS = 2
"""Mean rows per answer from which answers are labels."""


def keep_rows(
    rows: Sequence[Pair], sides: Mapping[str, Split], section: CurateConfig, verdicts: list[Verdict]
) -> Sequence[Pair]:
    """The rows without the training rows that curate.keep and curate.balance leave out; each of those gets a verdict.

    sides: prompt id -> its split. Does not depend on the order of the rows. Raises UserError for curate.balance: label where the
    answers hardly repeat, and for topics or meaning without distil[evaluate].
    """
    if section.keep is None and section.balance is None:
        return rows
    train = sorted(
        (row for row in rows if sides.get(row.prompt.id) == "train"), key=lambda row: (row.prompt.id, row.answer.id)
    )
    if not train or (section.keep is not None and section.keep >= len(train) and section.balance is None):
        return rows
    vectors = _vectors(train, "meaning" if section.balance == "cluster" else section.keep_by)
    groups = _groups(train, vectors, section)
    quotas = share_out({name: members.size for name, members in groups.items()}, section.keep)
    left_out = set()
    for name, members in groups.items():
        quota = quotas[name]
        if quota >= members.size:
            continue
        kept = set(members[pick(vectors[members], quota, section.seed)].tolist())
        reason = f"not among the {quota:,} of {members.size:,} training rows that cover the others best (curate.keep)"
        if section.balance is not None:
            reason = f"{name} has {members.size:,} training rows, of which {quota:,} are kept (curate.balance)"
        for position in members.tolist():
            if position not in kept:
                prompt, answer = train[position]
                left_out.add(answer.id)
                filter_name = "keep" if section.balance is None else "balance"
                verdicts.append(
                    Verdict(answer_id=answer.id, prompt_id=prompt.id, filter=filter_name, keep=False, reason=reason)
                )
    return [row for row in rows if row.answer.id not in left_out]


def share_out(sizes: Mapping[str, int], total: int | None) -> dict[str, int]:
    """How many rows of each group are kept, as equally as the groups allow: small ones whole, all others the same number.

    total: rows altogether; None = as many of each as the median group has. The rows that do not divide go to the largest groups.
    """
    if total is None:
        cap = int(np.median(list(sizes.values())))
        return {name: min(size, cap) for name, size in sizes.items()}
    quotas: dict[str, int] = {}
    left = min(total, sum(sizes.values()))
    for index, (name, size) in enumerate(sorted(sizes.items(), key=lambda item: (item[1], item[0]))):
        quotas[name] = min(size, left // (len(sizes) - index))
        left -= quotas[name]
    return quotas


def _vectors(rows: Sequence[Pair], by: str) -> Vectors:
    texts = [conversation_text(row.prompt.messages) for row in rows]
    if by == "text":
        return text_vectors(shingle_sets(texts))
    embedder().prepare(texts)
    return embedder().vectors(texts)


def _groups(rows: Sequence[Pair], vectors: Vectors, section: CurateConfig) -> dict[str, NDArray[np.int64]]:
    """Name -> positions of its rows; one group without curate.balance."""
    if section.balance is None:
        return {"train": np.arange(len(rows))}
    if section.balance == "cluster":
        found = topics(vectors, section.seed)
        return {f"cluster {number + 1}": np.flatnonzero(found == number) for number in np.unique(found).tolist()}
    labels: dict[str, list[int]] = {}
    for position, row in enumerate(rows):
        labels.setdefault(answer_key(row.answer.text, row.answer.tool_calls), []).append(position)
    if len(labels) * LABEL_REPEATS > len(rows):
        raise UserError(
            f"curate.balance is label, but {len(rows):,} training rows have {len(labels):,} different answers: they are no "
            "labels. Use curate.balance: cluster, which balances the topics of the prompts, or leave it out."
        )
    return {
        f"the label {one_line(rows[members[0]].answer.text, 40)!r}": np.array(members) for members in labels.values()
    }
