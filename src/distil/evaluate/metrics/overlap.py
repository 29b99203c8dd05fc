"""How much of the wording is shared, and how long the answer is: ROUGE-L, token F1 and lengths."""

from __future__ import annotations

from collections.abc import Sequence

from distil.evaluate.metrics.table import Case, Values
from distil.words import token_f1_of, tokens

MAX_RATIO = 4.0
MAX_TOKENS = 20_000
"""Words of a text that ROUGE-L looks at: two runaway answers of 230 KB are still compared in a second or two."""
SHORTEST_JUDGED = 40
"""Characters of the teacher's answer from which on its length can be missed."""


def rouge_l(cases: Sequence[Case]) -> Values:
    """F1 of the longest common subsequence of words (Lin 2004), lower case, with the teacher's answer."""
    return [None if case.teacher is None else rouge_l_f1(case.answer, case.teacher) for case in cases]


def rouge_l_f1(answer: str, target: str) -> float:
    """2 LCS / (words of both); two texts without words are equal (1)."""
    left, right = tokens(answer)[:MAX_TOKENS], tokens(target)[:MAX_TOKENS]
    if not left and not right:
        return 1.0
    return 2 * common_subsequence(left, right) / (len(left) + len(right))


def common_subsequence(left: Sequence[str], right: Sequence[str]) -> int:
    """Length of the longest common subsequence, bit-parallel (Hyyrö 2004): one big-integer step per word of `right`."""
    positions: dict[str, int] = {}
    for index, word in enumerate(left):
        positions[word] = positions.get(word, 0) | 1 << index
    full = (1 << len(left)) - 1
    row = full
    for word in right:
        matches = row & positions.get(word, 0)
        row = ((row + matches) | (row - matches)) & full
    return len(left) - row.bit_count()


def token_f1(cases: Sequence[Case]) -> Values:
    """F1 of the words shared with the reference (SQuAD, Rajpurkar et al. 2016); None without a reference."""
    return [None if case.reference is None else token_f1_of(case.answer, case.reference) for case in cases]


def length_ratio(cases: Sequence[Case]) -> Values:
    """Characters of the answer over those of the teacher's; None where the teacher said nothing.

    Ratios above 4 count as 4: one long answer to a one-word question would otherwise outweigh a hundred others.
    """
    values: Values = []
    for case in cases:
        teacher = (case.teacher or "").strip()
        values.append(min(MAX_RATIO, len(case.answer.strip()) / len(teacher)) if teacher else None)
    return values


def length_off(cases: Sequence[Case]) -> Values:
    """1 where the answer has under half or over twice the teacher's characters; None for teachers' answers under 40."""
    values: Values = []
    for case in cases:
        teacher = len((case.teacher or "").strip())
        length = len(case.answer.strip())
        values.append(None if teacher < SHORTEST_JUDGED else float(not teacher / 2 <= length <= teacher * 2))
    return values
