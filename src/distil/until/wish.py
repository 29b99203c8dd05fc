"""What the user of `distil until` asked for, and what the rounds would be before anything is paid. Records only."""

from __future__ import annotations

from typing import NamedTuple

from distil.runs.schemas.until import Target


class Wish(NamedTuple):
    """What the user asked for."""

    target: Target
    budget_usd: float
    student: str
    keep_caps: bool = False
    """Each stage also keeps to its own budget_usd in distil.yaml."""
    typed: str = ""
    """The command as it is typed where the user stands; "" = as `command`."""

    @property
    def command(self) -> str:
        """What goes on after an interruption, typed in the project's folder."""
        accept = "" if self.target == "SHIP" else " --accept fallback"
        caps = " --keep-caps" if self.keep_caps else ""
        return f"distil until SHIP --budget {self.budget_usd:g}{accept}{caps} --as {self.student}"

    @property
    def again(self) -> str:
        """The same, as the user would type it."""
        return self.typed or self.command


class Forecast(NamedTuple):
    """What the rounds would be, before anything is paid."""

    sizes: list[int]
    """Prompts asked by the end of each."""
    usd: list[float]
    """Dollars spent by the end of each."""
    shares: list[float]
    """Of the error."""
    measured: bool
    """Prices are measured on answers of this project; else a guess."""
    spent: float
    """Dollars of the budget that are spent."""
    first: int
    """Prompts that a first round asks where the money pays for it; fewer than that can hardly prove anything."""
