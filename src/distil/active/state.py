"""Where the rounds stand: which prompts were chosen, which have answers, which are still open. Reads and writes work/active/."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from distil.active.pool import marked
from distil.active.sizes import LEAST, LEAST_ROWS, Wanted, sizes
from distil.collect.questions import answers_there
from distil.curate.config import CurateConfig
from distil.errors import UserError
from distil.records import Answer, Prompt
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_records, write_records
from distil.runs.schemas.active import ActiveRound, Chosen, read_chosen, read_rounds
from distil.runs.schemas.failures import Failure
from distil.runs.schemas.sides import read_sides


class State:
    """The prompts of a project and the rounds so far."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self.prompts = list(read_records(project.prompts, Prompt))
        self.rounds = read_rounds(project.active_rounds)
        self.chosen = read_chosen(project.active_chosen, len(self.rounds))
        self._answered: frozenset[str] | None = None

    @property
    def asked(self) -> int:
        """Prompts that the rounds chose, all together."""
        return sum(one.asked for one in self.rounds)

    def of_round(self, number: int) -> set[str]:
        """Ids of the prompts that a round chose."""
        return {line.prompt_id for line in self.chosen if line.round == number}

    def answered(self) -> frozenset[str]:
        """Ids of the prompts with an answer, whoever asked for it; read once, until `forget`."""
        if self._answered is None:
            answers = self._project.answers
            every = read_records(answers, Answer) if answers.exists() else ()
            self._answered = frozenset(answer.prompt_id for answer in every)
        return self._answered

    def forget(self) -> None:
        """Reads the answers again when they are needed: there are new ones."""
        self._answered = None

    def settled(self) -> set[str]:
        """Ids of the answers that are there, and of those that failed: what a round need not ask again."""
        found = set(answers_there(self._project))
        if self._project.failures.exists():
            found |= {failure.answer_id for failure in read_records(self._project.failures, Failure)}
        return found

    def open(self) -> list[Prompt]:
        """Prompts that no round chose and that have no answer."""
        taken = {line.prompt_id for line in self.chosen} | self.answered()
        return [prompt for prompt in self.prompts if prompt.id not in taken]

    def limit(self, wanted: int | None) -> int:
        """Prompts to ask in all rounds: `wanted`, else what the earlier rounds aimed at, else half of those that are open."""
        left = len(self.open())
        before = self.rounds[-1].limit if self.rounds else max(1, left // 2)
        return min(wanted or before, self.asked + left)

    def planned(self, limit: int, rounds: int, section: CurateConfig) -> list[int]:
        """Prompts of each round that is still to be chosen. Raises UserError where they are too few for so many rounds."""
        left = limit - self.asked
        if not self.rounds:
            return sizes(self._wanted(limit, rounds, section)) if left > 0 else []
        coming: list[int] = []
        for count in self.rounds[-1].coming:
            coming.append(min(count, left - sum(coming)))
        more = left - sum(coming)
        parts = np.array_split(np.arange(more), max(1, min(rounds, more // LEAST)))
        return [count for count in (*coming, *map(len, parts)) if count > 0]

    def _wanted(self, limit: int, rounds: int, section: CurateConfig) -> Wanted:
        fixed = Counter(prompt.split for prompt in marked(self.prompts))
        there = Counter(read_sides(self._project.sides, section.seed).values())
        if 0 < fixed["validation"] < LEAST_ROWS:
            raise UserError(
                f"{fixed['validation']} prompts are marked `split: validation`, and no others become validation prompts then. "
                f"With fewer than {LEAST_ROWS} every round would be random: mark {LEAST_ROWS} or more, or none."
            )
        if not section.validation and not fixed["validation"] and there["validation"] < LEAST_ROWS:
            raise UserError(
                "curate.validation is 0, and only validation prompts show whether a student's uncertainty finds its errors. "
                "Set curate.validation: 0.2, or mark prompts as validation in your file."
            )
        return Wanted(
            limit=limit,
            rounds=rounds,
            marked=len(marked(self.open())),
            test=0 if fixed["test"] else section.test - there["test"],
            validation=0.0 if fixed["validation"] else section.validation,
            validated=there["validation"],
        )

    def add(self, one: ActiveRound, chosen: Sequence[Chosen]) -> None:
        """Writes a round. The list of rounds comes last: without its line there, what it chose does not count."""
        self.rounds = [*self.rounds, one]
        self.chosen = [*self.chosen, *chosen]
        write_records(self._project.active_chosen, self.chosen)
        write_records(self._project.active_rounds, self.rounds)
