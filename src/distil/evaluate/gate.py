"""`--gate VERDICT`: whether a verdict is good enough for a pipeline to go on. Not the verdict itself."""

from __future__ import annotations

from collections.abc import Sequence

from distil.errors import GateNotReached, UserError, did_you_mean
from distil.runs.schemas.summary import Summary

ORDER = ("NOT DECIDED", "SHIP WITH FALLBACK", "SHIP")
"""The gates, from the lowest to the highest. DO NOT SHIP is below all of them, and no gate: it would let everything through."""


def parse_gate(text: str) -> str:
    """The verdict that a user means; case, hyphens and underscores do not count. Raises UserError on anything else."""
    gate = " ".join(text.upper().replace("-", " ").replace("_", " ").split())
    if gate in ORDER:
        return gate
    if gate == "DO NOT SHIP":
        raise UserError("--gate 'DO NOT SHIP' would let every verdict through. Expected " + _expected())
    raise UserError(f"--gate {text!r} is not a verdict.{did_you_mean(gate, ORDER)} Expected {_expected()}")


def _expected() -> str:
    return f"one of {', '.join(repr(gate) for gate in reversed(ORDER))}."


def passes(decision: str, gate: str) -> bool:
    """Whether a verdict is at least the gate. NOT DECIDED passes only the gate of its own name."""
    return decision in ORDER and ORDER.index(decision) >= ORDER.index(gate)


def check_gate(gate: str, summaries: Sequence[Summary]) -> None:
    """Raises GateNotReached that names the students below the gate."""
    below = [s for s in summaries if not passes(s.verdict.decision, gate)]
    if below:
        found = "; ".join(f"{s.name} is {s.verdict.decision}" for s in below)
        raise GateNotReached(f"The gate {gate} was not reached: {found}.")
