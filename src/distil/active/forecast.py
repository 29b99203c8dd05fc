"""`distil collect --active --dry-run`: rounds, answers, dollars and the time of the students. Sends nothing, trains nothing."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from distil.active.pool import marked, shuffled
from distil.active.state import State
from distil.collect import stage
from distil.collect.questions import answers_wanted
from distil.collect.result import CollectResult
from distil.config import Config
from distil.fit import training_need
from distil.models.sizing import this_machine
from distil.plan.hardware import hours_of
from distil.progress import clock
from distil.records import Record
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_examples


class ActiveForecast(Record):
    """What the rounds that are left would take."""

    coming: tuple[int, ...]
    """Prompts of each round that is still to be chosen."""
    students: int
    """To be trained, one before each round but the first."""
    training_seconds: float | None
    """Of all of them; None = the student's size, or this machine's speed, is not known."""
    collected: CollectResult
    """The money: of as many prompts, chosen at random."""

    def rows(self) -> list[tuple[str, str]]:
        """(name, value) pairs for a table."""
        rounds = " + ".join(f"{count:,}" for count in self.coming) or "none"
        time = "not known here" if self.training_seconds is None else f"about {clock(self.training_seconds)}"
        return [
            ("rounds", f"{rounds} prompts"),
            (
                "students between them",
                f"{self.students}, {time} of training for all of them, and their answers to the pool",
            ),
            *self.collected.rows(),
        ]


def forecast(project: Project, config: Config, state: State, coming: Sequence[int]) -> ActiveForecast:
    """coming: prompts of each round that is still to be chosen. Raises UserError when a teacher's price is unknown."""
    held = marked(state.open()) if not state.rounds else []
    left = {prompt.id for prompt in held}
    others = shuffled((prompt for prompt in state.open() if prompt.id not in left), config.curate.seed)
    wanted = left | {prompt.id for prompt in others[: max(0, sum(coming) - len(held))]}
    if state.rounds:
        wanted |= state.of_round(len(state.rounds))
    ids = answers_wanted(project, config.teachers, config.collect.samples, wanted)
    collected = stage.run(project, config.collect, config.teachers, only=ids, dry_run=True)
    rows = _rows(project, coming, first=not state.rounds)
    return ActiveForecast(
        coming=tuple(coming),
        students=len(rows),
        training_seconds=_seconds(project, config, rows),
        collected=collected,
    )


def _rows(project: Project, coming: Sequence[int], *, first: bool) -> list[int]:
    """Training rows of each student, before each round but the first."""
    there = sum(1 for _ in read_examples(project.split("train"))) if project.split("train").exists() else 0
    if first:
        each = coming[-1] if coming else 0  # in the first round, too, besides those to hold out
        return [there + each * number for number in range(1, len(coming))]
    return [there + before for before in accumulate(coming[:-1], initial=0)] if coming else []


def _seconds(project: Project, config: Config, rows: Sequence[int]) -> float | None:
    machine = this_machine()
    plain = config.model_copy(update={"train": config.train.model_copy(update={"method": "sft"})})
    need = training_need(project, plain, machine)
    if need is None:
        return None
    tokens = int(sum(rows) * config.train.epochs * need.setup.texts.tokens)
    hours = hours_of(need.setup, tokens, machine)
    return None if hours is None else hours * 3600
