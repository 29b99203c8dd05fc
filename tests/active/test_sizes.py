"""How many prompts each round asks."""

from __future__ import annotations

import pytest

from distil.active.sizes import Wanted, sizes
from distil.errors import UserError


def test_the_first_round_also_asks_what_is_held_out() -> None:
    # 1,000 = 200 test + 4 x 188 to train on + a fifth of the first round's rest as validation (47)
    assert sizes(Wanted(1000, 4, 0, 200, 0.2)) == [436, 188, 188, 188]
    assert sizes(Wanted(400, 4, 100, 0, 0.0)) == [175, 75, 75, 75]
    # 80 x 0.2 = 16 validation prompts in any case, so the later rounds are smaller
    assert sizes(Wanted(200, 3, 0, 20, 0.2)) == [100, 50, 50]
    assert sizes(Wanted(90, 3, 0, 200, 0.0)) == [50, 20, 20]  # a third is tested on at most
    # those that are there already need not be drawn from the first round
    assert sizes(Wanted(200, 3, 0, 20, 0.2, validated=16)) == [90, 55, 55]


def test_too_few_prompts_are_refused_with_what_is_enough() -> None:
    with pytest.raises(
        UserError, match=r"too few for 4 rounds, of which 30 would be tested on.*--limit (\d+) or more"
    ) as error:
        sizes(Wanted(60, 4, 20, 10, 0.2))
    enough = int(str(error.value).split("--limit ")[1].split()[0])
    assert sum(sizes(Wanted(enough, 4, 20, 10, 0.2))) == enough
