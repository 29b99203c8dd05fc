"""The rounds of `distil collect --active`: ask, split, train a student, find where it is unsure, choose, ask.

A choice is on disk before a prompt of it is asked, so that a run that was killed goes on with the same prompts, and the ledger
pays for no answer twice. The prompts of the first round are random: only they may be held out (runs/schemas/active.py).
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence

import numpy as np

from distil.active import unsure
from distil.active.choose import EVEN_SHARE, Floats, by_rank, probabilities, systematic
from distil.active.forecast import ActiveForecast, forecast
from distil.active.pool import Pool, along_topics, expected_consistency, marked, pool_of, read_answers, shuffled
from distil.active.result import ActiveResult
from distil.active.state import State
from distil.active.unsure import Knowledge
from distil.collect import rounds as in_rounds
from distil.collect import stage
from distil.collect.questions import answers_wanted, check_teachers
from distil.collect.result import CollectResult
from distil.config import Config
from distil.errors import Interrupted, UserError
from distil.ids import stable_hash
from distil.pipeline import require_committee, run_stage
from distil.progress import clock, say
from distil.runs.artifacts import Project
from distil.runs.schemas.active import PURPOSE, ActiveRound, Chosen
from distil.runs.schemas.sides import read_sides
from distil.stage_states import step_state

SCORED_PER_ANSWER = 5
"""Prompts that the student answers for each one that is asked: a random part of a large pool is as good as all of it."""
COMMAND = "distil collect --active"
CHANCE = 0.55
"""Up to this ranking of its errors a student's uncertainty is taken for noise, and the round is random."""


def plan(project: Project, config: Config, *, rounds: int, limit: int | None = None) -> ActiveForecast:
    """What `run` would do and cost. Sends nothing. Raises UserError where there is nothing to ask, or too little."""
    state = _state(project, config)
    limit = state.limit(limit)
    return forecast(project, config, state, state.planned(limit, rounds, config.curate))


def run(project: Project, config: Config, *, rounds: int, limit: int | None = None) -> ActiveResult:
    """Asks `limit` prompts in rounds (None = half of the open ones); what earlier runs chose counts.

    Raises UserError, and what collect, curate, train and evaluate raise; whatever was answered is kept, and the next run goes on.
    """
    state = _state(project, config)
    limit = state.limit(limit)
    coming = state.planned(limit, rounds, config.curate)
    active = _Active(project, config, state, limit)
    start, total = time.monotonic(), len(state.rounds) + len(coming)
    try:
        active.ask()
        for done, count in enumerate(coming):
            left = f", about {clock((time.monotonic() - start) / done * (len(coming) - done))} left" if done else ""
            say(f"active round {len(state.rounds) + 1}/{total}: {count:,} prompts{left}")
            active.choose(count, coming[done + 1 :])
            active.ask()
    except Interrupted as error:
        raise Interrupted(f"{error} To go on with the same rounds: {COMMAND}") from None
    in_rounds.end(project)
    return ActiveResult.of(state.rounds, active.collected)


def _state(project: Project, config: Config) -> State:
    check_teachers(config.teachers)
    require_committee(config)
    state = State(project)
    if not state.rounds and not state.open():
        raise UserError("Every prompt has an answer already: there is nothing to choose from. Add prompts first.")
    return state


class _Active:
    """The steps of a round."""

    def __init__(self, project: Project, config: Config, state: State, limit: int) -> None:
        self._project, self._config, self._state, self._limit = project, config, state, limit
        self.collected: CollectResult | None = None

    def ask(self) -> None:
        """Asks what the last round chose and nobody has answered."""
        if not self._state.rounds:
            return
        prompts = self._state.of_round(len(self._state.rounds))
        section, teachers = self._config.collect, self._config.teachers
        wanted = answers_wanted(self._project, teachers, section.samples, prompts)
        recorded = stage.recorded(self._project, section, teachers)
        if wanted and not (wanted <= self._state.settled() and recorded):
            self._state.forget()
            self.collected = stage.run(self._project, section, teachers, only=wanted, rounds=COMMAND)

    def choose(self, count: int, coming: Sequence[int]) -> None:
        """Chooses the prompts of the next round, and writes them down."""
        if not self._state.rounds:
            self._first(count, coming)
            return
        if step_state(self._project, self._config, "curate").state != "done":
            run_stage(self._project, self._config, "curate", None)
        pool = self._pool(count)
        known, doubts, why = None, None, unsure.too_few(self._project)
        if not why:
            part, config, known = unsure.train(self._project, self._config)
            doubts = unsure.ask_student(self._project, part, config, pool.prompts)
            why = no_use(known)
        if why:
            say(why)
        self._add(pool, known, doubts, why, count=min(count, len(pool.prompts)), coming=coming)
        shutil.rmtree(self._project.active_student, ignore_errors=True)

    def _first(self, count: int, coming: Sequence[int]) -> None:
        """At random, and everything that the user marks as held out."""
        seed, prompts = self._config.curate.seed, self._state.open()
        held = {prompt.id for prompt in marked(prompts)}
        order = shuffled((prompt for prompt in prompts if prompt.id not in held), seed)
        drawn = order[: max(0, count - len(held))]
        after = order[len(drawn)] if len(drawn) < len(order) else None
        one = ActiveRound(
            number=1,
            how="random",
            why="the first round",
            asked=len(held) + len(drawn),
            limit=self._limit,
            coming=tuple(coming),
            below=1.0 if after is None else stable_hash(seed, PURPOSE, after.id),
            seed=seed,
        )
        before = [Chosen(prompt_id=key, round=0, how="random") for key in sorted(self._state.answered())]
        asked = [Chosen(prompt_id=key, round=1, how="random") for key in [*sorted(held), *(p.id for p in drawn)]]
        self._state.add(one, [*before, *asked])

    def _pool(self, count: int) -> Pool:
        """A random part of the open prompts without those that are not worth an answer."""
        answered, section = self._state.answered(), self._config.curate
        prompts = [prompt for prompt in self._state.open() if prompt.split not in ("test", "validation")]
        some = shuffled(prompts, section.seed, f"pool {len(self._state.rounds)}")[: SCORED_PER_ANSWER * count]
        sides = read_sides(self._project.sides, section.seed)
        pool = pool_of(some, [prompt for prompt in self._state.prompts if prompt.id in answered], sides, section)
        if not pool.prompts:
            raise UserError(
                "None of the open prompts is worth an answer: they nearly repeat answered ones, or belong to held-out ones. "
                "What was asked is in work/collect/answers.jsonl; go on with `distil run`."
            )
        return pool

    def _add(
        self,
        pool: Pool,
        known: Knowledge | None,
        doubts: Floats | None,
        why: str,
        *,
        count: int,
        coming: Sequence[int],
    ) -> None:
        first, number = self._state.rounds[0], len(self._state.rounds) + 1
        rng = np.random.default_rng([first.seed, number])
        weights = np.ones(len(pool.prompts)) if doubts is None else by_rank(doubts)
        consistency = expected_consistency(pool, read_answers(self._project))
        chances = probabilities(
            weights if consistency is None else weights * consistency, count, 1.0 if why else EVEN_SHARE
        )
        picked = systematic(chances, along_topics(pool, rng), float(rng.random()))
        one = ActiveRound(
            number=number,
            how="random" if why else "uncertainty",
            why=why,
            asked=len(picked),
            limit=self._limit,
            coming=tuple(coming),
            below=first.below,
            seed=first.seed,
            train_rows=known and known.rows,
            metric=known and known.metric,
            score=known and known.score,
            ranking=known and known.ranking,
            scored=None if doubts is None else len(pool.prompts),
            pool_uncertainty=None if doubts is None else float(doubts.mean()),
            asked_uncertainty=None if doubts is None else float(doubts[picked].mean()),
        )
        chosen = [
            Chosen(
                prompt_id=pool.prompts[row].id,
                round=number,
                how=one.how,
                probability=float(chances[row]),
                uncertainty=None if doubts is None else float(doubts[row]),
            )
            for row in picked
        ]
        self._state.add(one, chosen)


def no_use(known: Knowledge) -> str:
    """Why a student's uncertainty is not to be used, for a person; "" where it is."""
    if known.ranking is None:
        return (
            f"All answers of the student to the validation prompts are equally good ({known.metric} {known.score:.3f}), so that "
            "they can't show whether its uncertainty finds errors: this round is random."
        )
    if known.ranking <= CHANCE:
        return (
            f"The student's uncertainty does not find its errors: it orders {known.ranking:.0%} of the pairs of validation "
            "answers rightly, and chance 50%. This round is random."
        )
    return ""
