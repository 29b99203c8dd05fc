"""Which rows are redundant: nearly the same question, and an answer that says the same. Every dropped one gets a Verdict.

The answers decide: the same question with another right answer is the variant that teaches to copy, count and extract. Results do
not depend on the order of the rows. Not the leaks between splits (split.py).
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence

import numpy as np

from distil.curate.crowd import Crowd
from distil.curate.evidence.corpus import Pair
from distil.curate.minhash import Rows
from distil.curate.shingles import Shingles, jaccard, shingles, text_key
from distil.curate.similar import BOILERPLATE_MIN_TEXTS, linked_rows, near_pairs, shingle_sets
from distil.curate.statements import same_statement, statement_key
from distil.embeddings.embedder import embedder
from distil.records import Verdict
from distil.text import answer_key, conversation_text, instructions

VARIABLE_PART = 20
"""5-grams in which the rows of a template have to differ, at the median, to be texts of their own: about three words."""
MOST_KEPT = 5_000
"""Rows of one group that each further row is compared with."""
MOST_READ = 20
"""Similar answers in prose that are read word by word for one row."""

Dropped = dict[int, tuple[str, str]]
"""Index of a row -> filter and reason."""


def drop_redundant(
    pairs: Sequence[Pair],
    near: float | None,
    verdicts: list[Verdict],
    *,
    cosine: float | None = None,
    prefer: Container[str] = (),
) -> list[Pair]:
    """Keeps one of the rows with (nearly) the same question and the same answer: the one with the smallest prompt id, of those in
    `prefer` (prompts with an answer to train on) where there is one.

    near: least Jaccard similarity of the questions (of answers in prose, too); cosine: least cosine of the questions' embeddings;
    None = not compared so, and with both only equal ones. Rows with different instructions (system turns) are never redundant,
    because those may hold the text that the question is about. Held-out rows that the user fixed are never dropped here; a free
    row that repeats one is a leak, which split.py handles. Raises UserError when texts can't be embedded here.
    """
    order = sorted(range(len(pairs)), key=lambda i: (pairs[i].prompt.id not in prefer, pairs[i].prompt.id))
    free = [i for i in order if pairs[i].prompt.split not in ("test", "validation")]
    dropped = _equal(pairs, free)
    if near is not None:
        left = [i for i in free if i not in dropped]
        dropped |= _near([pairs[i] for i in left], left, near)
    if cosine is not None:
        left = [i for i in free if i not in dropped]
        dropped |= _near_in_meaning([pairs[i] for i in left], left, cosine)
    for index in sorted(dropped):
        prompt, answer = pairs[index]
        name, reason = dropped[index]
        verdicts.append(Verdict(answer_id=answer.id, prompt_id=prompt.id, filter=name, keep=False, reason=reason))
    return [pair for index, pair in enumerate(pairs) if index not in dropped]


def _equal(pairs: Sequence[Pair], rows: Sequence[int]) -> Dropped:
    dropped: Dropped = {}
    first: dict[tuple[str, str], int] = {}
    for index in rows:
        prompt, answer = pairs[index]
        asked = "\n".join(f"{m.role}: {m.text}" for m in prompt.messages)
        earlier = first.setdefault((text_key(asked), answer_key(answer.text, answer.tool_calls)), index)
        if earlier != index:
            dropped[index] = ("duplicate", f"same question and answer as {pairs[earlier].prompt.id}")
    return dropped


def _near(pairs: Sequence[Pair], names: Sequence[int], near: float) -> Dropped:
    """The near-duplicates among rows in the order in which they are preferred; names: their indices for the caller."""
    sets = shingle_sets([conversation_text(pair.prompt.messages) for pair in pairs])
    dropped: Dropped = {}
    for group in _groups(sets, near):
        for rows, prose in _same_answers(pairs, group.tolist()):
            for row, (other, similarity) in _repeats(pairs, sets, rows, near, prose).items():
                reason = f"near-duplicate ({similarity:.2f}) of {pairs[other].prompt.id}, with the same answer"
                dropped[names[row]] = ("near_duplicate", reason)
    return dropped


def _near_in_meaning(pairs: Sequence[Pair], names: Sequence[int], cosine: float) -> Dropped:
    """As `_near`, by the embeddings of the questions. Time is in the square of the rows with the same answer."""
    groups = _same_answers(pairs, range(len(pairs)))
    texts = {row: conversation_text(pairs[row].prompt.messages) for rows, _ in groups for row in rows}
    embedder().prepare(list(texts.values()))
    dropped: Dropped = {}
    for rows, prose in groups:
        vectors = embedder().vectors([texts[row] for row in rows])  # (rows, 384)
        kept: list[int] = []  # places in rows
        compared = np.empty(
            (min(len(rows), MOST_KEPT), vectors.shape[1]), dtype=vectors.dtype
        )  # vectors of the first kept
        for place, row in enumerate(rows):
            closeness = compared[: len(kept)] @ vectors[place]
            likely = np.flatnonzero(closeness >= cosine)
            for position in likely[np.argsort(-closeness[likely], kind="stable")][:MOST_READ].tolist():
                other = pairs[rows[kept[position]]]
                if not prose or same_statement(other.answer.text, pairs[row].answer.text):
                    reason = f"the same in meaning (cosine {closeness[position]:.3f}) as {other.prompt.id}, with the same answer"
                    dropped[names[row]] = ("near_duplicate", reason)
                    break
            else:
                if len(kept) < len(compared):
                    compared[len(kept)] = vectors[place]
                kept.append(place)
    return dropped


def _same_answers(pairs: Sequence[Pair], rows: Iterable[int]) -> list[tuple[list[int], bool]]:
    """(rows with the same instructions and answers that may say the same, whether these are prose), of at least two rows."""
    alike: dict[tuple[str, int, bool], list[int]] = {}
    for row in rows:
        prompt, answer = pairs[row]
        alike.setdefault((text_key(instructions(prompt.messages)), *statement_key(answer)), []).append(row)
    return [(found, prose) for (_, _, prose), found in alike.items() if len(found) > 1]


def _repeats(
    pairs: Sequence[Pair], sets: Sequence[Shingles], rows: Sequence[int], near: float, prose: bool
) -> dict[int, tuple[int, float]]:
    """Row -> (an earlier row that is kept and that it repeats, similarity), for rows with answers that may say the same."""
    crowd = Crowd([sets[row] for row in rows])
    kept: list[int] = []
    found: dict[int, tuple[int, float]] = {}
    for member, row in enumerate(rows):
        similarity = crowd.similarity(member, np.array(kept[:MOST_KEPT], dtype=np.int64))
        likely = np.flatnonzero(similarity >= near)
        for position in likely[np.argsort(-similarity[likely], kind="stable")][:MOST_READ].tolist():
            other = rows[kept[position]]
            if not prose or _same_prose(pairs[other].answer.text, pairs[row].answer.text, near):
                found[row] = (other, float(similarity[position]))
                break
        else:
            kept.append(member)
    return found


def _same_prose(one: str, other: str, near: float) -> bool:
    return jaccard(shingles(one), shingles(other)) >= near and same_statement(one, other)


def _groups(sets: list[Shingles], near: float) -> list[Rows]:
    """Rows that chains of near pairs link, in ascending order. A template that links many is taken out of their sets."""
    groups = []
    for group in linked_rows(near_pairs(sets, near)):
        if group.size >= BOILERPLATE_MIN_TEXTS:
            own = Crowd([sets[row] for row in group]).outside_core()
            if np.median([item.size for item in own]) >= VARIABLE_PART:
                for row, item in zip(group.tolist(), own, strict=True):
                    sets[row] = item
                groups += [group[part] for part in linked_rows(near_pairs(own, near))]
                continue
        groups.append(group)
    return groups
