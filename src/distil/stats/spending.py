"""How one error budget is divided among planned looks, so that all of them together are wrong no more often than one.

A look that is taken at the share s of an error a is wrong with a chance of at most s a; the chances add up whatever the looks
have in common (Boole). The shares are those of a spending function, a t^p of the information fraction t (Lan and DeMets 1983,
Biometrika 70:659; Kim and DeMets 1987, Biometrika 74:149, with p = 1), spent by the union bound in place of the joint
distribution of the looks: these are looks at different students on the same questions, not at one sum that grows.
"""

from __future__ import annotations

from collections.abc import Sequence

PLANNED = 0.8
"""Share of what is left of the error that a plan of looks gets; the rest is for plans to come."""


def shares(amounts: Sequence[float], total: float = 1.0) -> list[float]:
    """The share of each look of a plan: `total` in proportion to what was learned since the look before.

    amounts: what each look will know, such as training prompts; ascending, each above 0. Raises ValueError for others.
    """
    before = [0.0, *amounts[:-1]]
    if not amounts or any(now <= then for now, then in zip(amounts, before, strict=True)):
        raise ValueError(f"amounts of looks must be above 0 and ascend: {list(amounts)}")
    return [total * (now - then) / amounts[-1] for now, then in zip(amounts, before, strict=True)]


def allotment(plans_before: int) -> float:
    """Share of the error of a test set that the next plan of looks at it gets: 80%, then 16%, 3.2%, ...

    A sequence that is fixed before any look: its sum stays below 1, whatever made somebody plan again.
    """
    return float(PLANNED * (1 - PLANNED) ** plans_before)
