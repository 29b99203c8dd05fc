"""Endless, seeded batches of documents, of like length so that little is padding.

Pool k depends on the seed and k alone, so a resumed run continues with the next batch it would have seen.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from distil.bundled.triage import SYSTEM, answer_text
from distil.bundled.triage.compose import Composer, draw_meaning
from tools.bundled_models.skills import Document, chat, document
from tools.bundled_models.skills.documents import BOS, END, SPECIAL_TOKENS

Row = tuple[list[int], list[float]]  # token ids, weight of predicting each of them
POOL = 1536  # documents sorted together
LONGEST = 320  # tokens; longer documents are cut
_TASK_PROMPT_WEIGHT = 0.1


@dataclass(frozen=True)
class Batch:
    """Right-padded rows (no mask is needed: attention is causal). `weights[i][j]` belongs to predicting `ids[i][j]`."""

    ids: Any  # (B, T) int64
    weights: Any  # (B, T) float32, 0 on padding
    tokens: int  # without padding
    rows: int


def task_document(rng: random.Random) -> Document:
    """A training message of the bundled task with its answer. Only the teacher sees these."""
    meaning = draw_meaning(rng)
    message, _ = Composer(rng, "train", noise=True).message(meaning)
    return chat(message, answer_text(meaning.reference()), system=SYSTEM, prompt_weight=_TASK_PROMPT_WEIGHT)


class Encoder:
    """Documents to rows; also makes rows of random token ids, which exist only behind a tokenizer."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = copy.deepcopy(
            tokenizer.backend_tokenizer
        )  # a copy: calls with padding=True alter the original
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._bos, self._eos = (self._tokenizer.token_to_id(token) for token in (BOS, END))
        self._digits = [self._tokenizer.token_to_id(str(digit)) for digit in range(10)]
        self._ordinary = range(len(SPECIAL_TOKENS), self._tokenizer.get_vocab_size())

    def row(self, doc: Document) -> Row:
        """Each piece is encoded on its own, so that its weight falls on exactly its tokens."""
        ids: list[int] = []
        weights: list[float] = []
        for (_, weight), encoding in zip(
            doc.pieces, self._tokenizer.encode_batch([p for p, _ in doc.pieces]), strict=True
        ):
            ids += encoding.ids
            weights += [weight] * len(encoding.ids)
        return ids[:LONGEST], weights[:LONGEST]

    def random_row(self, rng: random.Random) -> Row:
        """Random token ids, repeated; every repetition is predictable, the first is not learned."""
        source = self._digits if rng.random() < 0.3 else self._ordinary
        part = rng.choices(source, k=rng.randrange(4, 49))
        times = rng.randrange(1, max(2, min(4, 160 // len(part)) + 1))
        ids = [self._bos, *part, *(part * times), self._eos]
        return ids, [0.0] * (1 + len(part)) + [1.0] * (len(part) * times + 1)


def pools(
    encoder: Encoder, seed: str, task_share: Callable[[], float], random_share: float, start: int, size: int = POOL
) -> Iterator[tuple[int, list[Row]]]:
    """Pools of rows from number `start` on. `task_share` is called once per pool."""
    number = start
    while True:
        rng = random.Random(f"{seed}/{number}")
        share = task_share()
        rows = []
        for _ in range(size):
            draw = rng.random()
            if draw < share:
                rows.append(encoder.row(task_document(rng)))
            elif draw < share + (1 - share) * random_share:
                rows.append(encoder.random_row(rng))
            else:
                rows.append(encoder.row(document(rng)))
        yield number, rows
        number += 1


def pad(rows: list[Row], pad_id: int) -> Batch:
    """One batch of rows, one longer than a multiple of eight: few distinct shapes keep kernel caches small."""
    import torch

    longest = _padded(max(len(ids) for ids, _ in rows))
    ids = torch.full((len(rows), longest), pad_id, dtype=torch.long)
    weights = torch.zeros((len(rows), longest))
    for index, (tokens, weight) in enumerate(rows):
        ids[index, : len(tokens)] = torch.tensor(tokens)
        weights[index, : len(tokens)] = torch.tensor(weight)
    return Batch(ids, weights, sum(len(tokens) for tokens, _ in rows), len(rows))


def _padded(length: int) -> int:
    return (length - 1 + 7) // 8 * 8 + 1


def split_pool(rows: list[Row], tokens_per_batch: int, rng: random.Random) -> list[list[Row]]:
    """Sort a pool by length, longest first, and cut it into batches of `tokens_per_batch` padded tokens, in random order."""
    ordered = sorted(rows, key=lambda row: -len(row[0]))
    parts: list[list[Row]] = []
    while ordered:
        size = max(1, tokens_per_batch // (_padded(len(ordered[0][0])) - 1))
        parts.append(ordered[:size])
        ordered = ordered[size:]
    rng.shuffle(parts)
    return parts
