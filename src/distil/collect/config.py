"""The `collect` section of distil.yaml. Not how to sample or how fast: that belongs to each teacher."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from distil.calls.request import WhenFull
from distil.runs.section import Section

Service = Literal["standard", "flex", "batch", "cheapest"]


class CollectConfig(Section):
    """Asking the teachers."""

    samples: int = Field(default=1, ge=1)
    """Answers per prompt and teacher."""
    budget_usd: float | None = Field(default=50.0, ge=0)
    """Most dollars that this project may spend on collecting, all runs together; null = no cap."""
    batch: bool = False
    """Use the providers' batch APIs (half price, up to 24 hours); the same as tier: batch."""
    tier: Service = "standard"
    """standard; flex (about half price, slower, not sold for all models); batch (half price, up to 24 hours); or cheapest: flex
    where it is sold at the batch price, else batch, else standard."""

    flex_full: WhenFull = "wait"
    """What to do while the flex tier has no room: wait (and stop after five minutes without any answer), or standard: ask for
    what finds no room at the standard price."""

    @property
    def service(self) -> Service:
        """`tier`, with `batch: true` understood."""
        return "batch" if self.batch else self.tier
