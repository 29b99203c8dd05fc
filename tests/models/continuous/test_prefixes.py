"""Kept beginnings: from the second prompt that has one, within their memory, the longest unused forgotten first."""

from __future__ import annotations

import torch

from distil.models.continuous.prefixes import SHORTEST, Prefixes

SYSTEM = list(range(100, 140))


def states(length: int) -> list[tuple[torch.Tensor, torch.Tensor] | None]:
    """One layer that keeps 8 bytes a position, and one that keeps nothing."""
    return [(torch.zeros(1, length, 1), torch.zeros(1, length, 1)), None]


def test_a_beginning_is_known_from_the_second_prompt_on() -> None:
    prefixes = Prefixes(1 << 20)
    assert prefixes.find([*SYSTEM, 1, 2])[::2] == (0, 0)
    assert prefixes.find([*SYSTEM, 3]) == (0, (), len(SYSTEM))
    prefixes.keep(SYSTEM, states(len(SYSTEM)))
    assert prefixes.find([*SYSTEM, 5, 6]).length == len(SYSTEM)
    assert prefixes.find(SYSTEM).length == len(SYSTEM) - 1  # one token has to be computed, for its logits
    assert prefixes.find([*SYSTEM[:20], 1, 1, 1]).length == 20
    assert prefixes.find([1, *SYSTEM]).length == 0 == prefixes.find(SYSTEM[:SHORTEST]).length


def test_memory_is_bounded_and_the_longest_unused_goes_first() -> None:
    prefixes = Prefixes(8 * 20 * 3)
    beginnings = [[n] * 20 for n in (1, 2, 3, 4)]
    for beginning in beginnings[:3]:
        prefixes.keep(beginning, states(20))
    prefixes.find([*beginnings[0], 9])
    prefixes.keep(beginnings[3], states(20))
    assert [prefixes.find([*each, 9]).length for each in beginnings] == [20, 0, 20, 20]
    assert prefixes.size <= prefixes.limit
    prefixes.keep([5] * 61, states(61))
    assert prefixes.find([5] * 62).length == 0


def test_a_longer_beginning_takes_the_place_of_its_own_beginning() -> None:
    prefixes = Prefixes(1 << 20)
    prefixes.keep(SYSTEM[:20], states(20))
    prefixes.keep(SYSTEM, states(40))
    assert prefixes.size == 8 * 40 and prefixes.find([*SYSTEM, 1]).length == 40
