"""The `collect` section of distil.yaml. Sampling and rate limits belong to each teacher."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from distil.calls.request import WhenFull
from distil.runs.section import Section

Service = Literal["standard", "flex", "batch", "cheapest"]


class CollectConfig(Section):
    """How the teacher's answers are collected."""

    samples: int = Field(default=1, ge=1)
    """Answers per prompt and teacher."""
    budget_usd: float | None = Field(default=50.0, ge=0)
    """Dollar cap for collecting in this project, over all runs; null = no cap."""
    batch: bool = False
    """Use the providers' batch APIs (half price, up to 24 hours); same as tier: batch."""
    tier: Service = "standard"
    """standard; flex (about half price, slower, not for all models); batch (half price, up to 24 hours); or cheapest: flex if
    it costs no more than batch, else batch, else standard."""
    flex_full: WhenFull = "wait"
    """When the flex tier is full: wait (and stop after five minutes without any answer), or standard: send the rejected
    requests at the standard price."""

    hedge: float | None = Field(default=None, ge=1)
    """Send a request a second time when its answer takes longer than this many times (4 is a good value) the 95th percentile of
    the teacher's last answers. The first whole answer is kept; both are charged and count against the cap; at most 5% of the
    requests, none before 50 answers. null = never."""

    @property
    def service(self) -> Service:
        """The tier; `batch: true` overrides `tier`."""
        return "batch" if self.batch else self.tier
