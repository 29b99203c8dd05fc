"""Which training rows are kept when there are more than wanted: a diverse subset, and labels or topics in balance.

Only train is cut: validation and test show the world as it is. What is left out is in dropped.jsonl, as `keep` or `balance`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from distil.curate.diverse import Vectors, pick, text_vectors, topics
from distil.curate.shingles import Shingles
from distil.errors import UserError
from distil.records import Split, Verdict
from distil.text import answer_key, conversation_text, one_line

if TYPE_CHECKING:
    from distil.curate.config import CurateConfig
    from distil.curate.evidence.corpus import Pair

LABEL_REPEATS = 2
"""Mean rows per answer from which answers are labels."""


def keep_rows(
    rows: Sequence[Pair],
    sets: Sequence[Shingles],
    splits: list[Split | None],
    section: CurateConfig,
    verdicts: list[Verdict],
) -> None:
    """Takes training rows out of `splits` (in place) until curate.keep and curate.balance hold; each gets a verdict.

    sets: the prompts' shingles. Does not depend on the order of the rows. Raises UserError for curate.balance: label where the
    answers are no labels, and for curate.keep_by: meaning without the package.
    """
    if section.keep is None and section.balance is None:
        return
    train = sorted((i for i, side in enumerate(splits) if side == "train"), key=lambda i: rows[i].answer.id)
    train.sort(key=lambda i: rows[i].prompt.id)
    if not train or (section.keep is not None and section.keep >= len(train) and section.balance is None):
        return
    vectors = _vectors([rows[i] for i in train], [sets[i] for i in train], section.keep_by)
    groups = _groups([rows[i] for i in train], vectors, section)
    quotas = share_out({name: members.size for name, members in groups.items()}, section.keep)
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
                row = rows[train[position]]
                splits[train[position]] = None
                verdicts.append(
                    Verdict(
                        answer_id=row.answer.id,
                        prompt_id=row.prompt.id,
                        filter="keep" if section.balance is None else "balance",
                        keep=False,
                        reason=reason,
                    )
                )


def share_out(sizes: Mapping[str, int], total: int | None) -> dict[str, int]:
    """How many rows of each group are kept, as equally as the groups allow: small ones whole, all others the same number.

    total: rows in all; None = as many of each as the median group has. The rows that do not divide go to the largest groups.
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


def _vectors(rows: Sequence[Pair], sets: Sequence[Shingles], by: str) -> Vectors:
    if by == "text":
        return text_vectors(sets)
    from distil.embeddings.embedder import embedder

    texts = [conversation_text(row.prompt.messages) for row in rows]
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
