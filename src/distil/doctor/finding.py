"""What a check returns: evidence with numbers, and a cure as settings and commands that fit the project."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import Field, JsonValue

from distil.config_file import scalar
from distil.records import Record

Level = Literal["ok", "warn", "problem", "unknown"]


class Cure(Record):
    """What to change and what to run then. Empty where nothing is to be done."""

    settings: dict[str, JsonValue] = Field(default_factory=dict)
    """Keys of distil.yaml with their new values, such as {"train.epochs": 6.0}; `distil doctor --apply N` writes them."""
    commands: list[str] = Field(default_factory=list)
    """Command lines to run after that, in order; they can be pasted into a shell."""
    advice: str = ""
    """What no setting and no command does, in words."""

    def lines(self) -> list[str]:
        """All of it as command lines."""
        pairs = [f"{key}={scalar(value)}" for key, value in self.settings.items()]
        return [*([f"distil config set {shlex.join(pairs)}"] if pairs else []), *self.commands]

    def __add__(self, other: Cure) -> Cure:
        """Both, each command once, in the order of the first."""
        advice = " ".join(dict.fromkeys(text for text in (self.advice, other.advice) if text))
        commands = list(dict.fromkeys([*self.commands, *other.commands]))
        return Cure(settings=self.settings | other.settings, commands=commands, advice=advice)


class Finding(Record):
    """One check's outcome."""

    check: str = ""
    """Name of the check in `checks.CHECKS`, such as `too few examples`; set when the checks are run."""
    level: Level
    """ok; warn = look at it; problem = fix it first; unknown = there is no evidence yet."""
    seen: str
    """The evidence, with numbers and where they come from."""
    why: str = ""
    """Why it matters."""
    cure: Cure = Cure()
    """What to change and run."""

    @property
    def fix(self) -> str:
        """The cure as text: words first, then one command line each."""
        return "\n".join([*([self.cure.advice] if self.cure.advice else []), *self.cure.lines()])


def ok(seen: str) -> Finding:
    """Nothing to do."""
    return Finding(level="ok", seen=seen)


def unknown(seen: str, *commands: str) -> Finding:
    """There is no evidence yet; `commands` would bring it."""
    return Finding(level="unknown", seen=seen, cure=Cure(commands=list(commands)))


def cure(settings: Mapping[str, JsonValue] | None = None, commands: Sequence[str] = (), advice: str = "") -> Cure:
    """A cure; see its fields."""
    return Cure(settings=dict(settings or {}), commands=list(commands), advice=advice)
