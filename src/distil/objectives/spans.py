"""Two tokenizations of one text: which tokens of one side say the same bytes as which of the other, and which ids are the same.

Only offsets, ids and token strings; no tokenizer and no tensor arithmetic beyond indices. `crosstokenizer.py` computes the loss
on what is aligned here; `train/` makes the offsets with the two tokenizers.
"""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from distil.errors import UserError


@dataclass(frozen=True)
class Spans:
    """G groups of tokens; group g is the rows [start, stop) on each side, and both say the same bytes."""

    student: Tensor
    """(G, 2) int64, rows of the student (row i predicts token i)."""
    teacher: Tensor
    """(G, 2) int64, rows of the teacher."""

    def __len__(self) -> int:
        return self.student.shape[0]

    def moved(self, student_rows: int, teacher_rows: int) -> Spans:
        """The same groups with the first token at other rows, as in a batch of several texts."""
        return Spans(self.student + student_rows, self.teacher + teacher_rows)

    def single(self) -> Tensor:
        """(G,) bool: one token on each side."""
        return ((self.student[:, 1] - self.student[:, 0]) == 1) & ((self.teacher[:, 1] - self.teacher[:, 0]) == 1)

    def to(self, device: torch.device | str) -> Spans:
        return Spans(self.student.to(device), self.teacher.to(device))


def joined_spans(parts: Sequence[Spans]) -> Spans:
    """The groups of several texts as one, after each was `moved` to its rows."""
    empty = torch.zeros(0, 2, dtype=torch.int64)
    return Spans(
        torch.cat([empty, *(part.student for part in parts)]), torch.cat([empty, *(part.teacher for part in parts)])
    )


def aligned_spans(student_ends: Sequence[int], teacher_ends: Sequence[int]) -> Spans:
    """Groups that close wherever both sides end a token at the same byte.

    student_ends, teacher_ends: for each token the UTF-8 byte offset in the common text at which it ends, not decreasing; a token
    without text (end of sequence) repeats the offset before it. Tokens after the last common boundary belong to no group: a text
    that one side cut short aligns as far as both go. Counting by bytes survives tokens that split a character.
    """
    for name, ends in (("student", student_ends), ("teacher", teacher_ends)):
        if any(later < earlier for earlier, later in itertools.pairwise(ends)):
            raise ValueError(f"{name}_ends decreases; byte offsets of a text never do")
    student: list[tuple[int, int]] = []
    teacher: list[tuple[int, int]] = []
    i = j = 0
    while i < len(student_ends) and j < len(teacher_ends):
        start_i, start_j = i, j
        while i < len(student_ends) and j < len(teacher_ends) and student_ends[i] != teacher_ends[j]:
            if student_ends[i] < teacher_ends[j]:
                i += 1
            else:
                j += 1
        if i == len(student_ends) or j == len(teacher_ends):
            break
        i, j = i + 1, j + 1
        student.append((start_i, i))
        teacher.append((start_j, j))
    return Spans(
        torch.tensor(student, dtype=torch.int64).reshape(-1, 2), torch.tensor(teacher, dtype=torch.int64).reshape(-1, 2)
    )


@dataclass(frozen=True)
class VocabularyMatch:
    """Ids on both sides that stand for exactly the same string, and the rest."""

    student_ids: Tensor
    """(M,) int64"""
    teacher_ids: Tensor
    """(M,) int64, the same strings in the same order."""
    student_size: int
    teacher_size: int

    @property
    def share(self) -> float:
        """Matched ids as a part of the smaller vocabulary."""
        return len(self.student_ids) / min(self.student_size, self.teacher_size)

    def rest(self, side: str) -> Tensor:
        """Ids of the "student" or the "teacher" that have no partner."""
        ids, size = {
            "student": (self.student_ids, self.student_size),
            "teacher": (self.teacher_ids, self.teacher_size),
        }[side]
        unmatched = torch.ones(size, dtype=torch.bool, device=ids.device)
        unmatched[ids] = False
        return unmatched.nonzero().squeeze(1)


END_OUTCOME, OTHER_OUTCOME, OUTCOMES = 256, 257, 258
"""Places of the end token, and of ids without text, behind the 256 bytes."""


@dataclass(frozen=True)
class FirstBytes:
    """For every id of both sides what its choice says at once about the text: its first byte, the end, or nothing."""

    student: Tensor
    """(V_s,) int64 below OUTCOMES."""
    teacher: Tensor
    """(V_t,) int64"""

    def to(self, device: torch.device | str) -> FirstBytes:
        return FirstBytes(self.student.to(device), self.teacher.to(device))


def matched_vocabulary(
    student_tokens: Mapping[Hashable, int],
    teacher_tokens: Mapping[Hashable, int],
    student_size: int | None = None,
    teacher_size: int | None = None,
) -> VocabularyMatch:
    """Pairs the ids of equal strings. tokens: string or bytes -> id, in one spelling on both sides (space marks resolved);
    sizes: of the logits, where padding makes them larger than the tokenizer. Raises UserError where nothing matches."""
    pairs = sorted(
        (student_tokens[token], teacher_tokens[token]) for token in student_tokens.keys() & teacher_tokens.keys()
    )
    if not pairs:
        raise UserError(
            "The two tokenizers share no token at all; expected at least the single characters. Compare tokens as the bytes that "
            "they decode to, not in each tokenizer's own spelling of spaces, or choose a teacher whose tokenizer is closer."
        )
    columns = torch.tensor(pairs, dtype=torch.int64)
    return VocabularyMatch(
        columns[:, 0].contiguous(),
        columns[:, 1].contiguous(),
        student_size if student_size is not None else max(student_tokens.values()) + 1,
        teacher_size if teacher_size is not None else max(teacher_tokens.values()) + 1,
    )
