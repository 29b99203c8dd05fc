"""Which of a prompt's answers are trained on, and which one stands for it where it is held out.

The two differ on purpose. A reference or a judge may say what is worth learning, but an answer to a validation or test prompt
that was picked by its reference would make the teacher look right there: held-out prompts get the majority's answer, else the
first teacher's. The answers that lost stay in answers.jsonl, and dropped.jsonl says why.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from distil.curate.closeness import Closeness
from distil.curate.config import Method
from distil.curate.evidence.corpus import Pair
from distil.curate.evidence.found import Found, Signals
from distil.curate.votes import Task, count_votes, final_of
from distil.final_answer import same_final
from distil.formats.tokens import estimate
from distil.records import Answer, Prompt
from distil.text import answer_key

Judge = Callable[[Sequence[Pair]], Sequence[Found | None]]
"""Scores answers from 0 to 1; None where it gave no score."""
NO_VOTE = "open text, so there is nothing to vote on: first teacher, first sample"
FIRST = "first teacher, first sample"


class Quorum(NamedTuple):
    """What a committee needs to agree."""

    least: int
    """Answers that must come to the same."""
    seats: int
    """Answers that each prompt should have: teachers x samples. One that was dropped or is missing agrees with none."""


class Choice(NamedTuple):
    """What became of one prompt's answers."""

    prompt: Prompt
    answers: tuple[Answer, ...]
    """All that passed the filters, in order of preference."""
    training: tuple[Answer, ...]
    """Those to train on; empty = none is fit for that."""
    held_out: Answer
    """The one that stands for the prompt in the test."""
    validation: Answer
    """The one that stands for it in validation: with as short a thinking as what is trained on, so that the loss there is of the
    same mode."""
    reason: str
    """Why those are trained on, or why none is."""
    held_out_reason: str
    """Why that one stands for it in the test."""
    validation_reason: str
    """Why that one does in validation."""
    dropped_as: str = "choose"
    """The name in dropped.jsonl of answers to a prompt on none of which is trained."""

    @property
    def pair(self) -> Pair:
        """The prompt with the answer that matters most: the first to train on, else the held-out one."""
        return Pair(self.prompt, self.training[0] if self.training else self.held_out)


class Grounds(NamedTuple):
    """What the choice is made by."""

    task: Task
    trust: Mapping[str, float] = {}
    """Teacher -> how often others agree with it (votes.trust); decides ties of a vote."""
    signals: Mapping[str, Signals] = {}
    """Answer id -> what was found about it; `reference` and `judge` are used here."""
    unfit: Mapping[str, str] = {}
    """Answer id -> why it must not be trained on, although it may stand for a held-out prompt."""
    closeness: Closeness | None = None
    """How near open texts are to each other; only for `agreement` and `committee`."""
    quorum: Quorum | None = None
    """How many must agree; only for `committee`."""
    shortens: Callable[[str], bool] = lambda prompt_id: False
    """Whether the answers to a prompt are trained on with the shortest thinking of equal ones (`curate.reasoning`)."""
    good: frozenset[str] = frozenset()
    """Answers that a person marked as good, or wrote."""


class Picked(NamedTuple):
    """Answers of one prompt, and why they and not the others."""

    answers: tuple[Answer, ...]
    reason: str
    dropped_as: str = "choose"
    """The name in dropped.jsonl of the other answers, where none is picked."""


def choose(method: Method, prompt: Prompt, answers: Sequence[Answer], grounds: Grounds) -> Choice:
    """Chooses for one prompt. `answers` come in order of preference, which decides ties."""
    held_out = BLIND.get(method, by_majority)(prompt, answers, grounds)
    shortens = method != "votes" and grounds.shortens(prompt.id)
    validation = _shortest(prompt, held_out, answers, grounds.task) if shortens else held_out
    fit = [answer for answer in answers if answer.id not in grounds.unfit]
    if fit:
        picked = METHODS[method](prompt, fit, grounds)
        if shortens:
            picked = _shortest(prompt, picked, fit, grounds.task)
    else:
        picked = Picked((), grounds.unfit[answers[0].id])
    return Choice(
        prompt,
        tuple(answers),
        picked.answers,
        held_out.answers[0],
        validation.answers[0],
        picked.reason,
        held_out.reason,
        validation.reason,
        dropped_as=picked.dropped_as,
    )


def by_order(prompt: Prompt, answers: Sequence[Answer], grounds: Grounds) -> Picked:
    """The first teacher's first sample."""
    return Picked((answers[0],), FIRST)


def by_majority(prompt: Prompt, answers: Sequence[Answer], grounds: Grounds) -> Picked:
    """An answer with the result that most answers come to; a tie goes to the teacher whom the others agree with most often."""
    vote = count_votes(prompt, answers, grounds.task)
    if len(answers) == 1 or not vote.decides:
        return Picked((answers[0],), FIRST if len(answers) == 1 else NO_VOTE)
    trust = [grounds.trust.get(answer.teacher, 0.0) for answer in answers]
    real = [final.kind != "text" for final in vote.finals]
    best = max(range(len(answers)), key=lambda i: (real[i], vote.votes[i], trust[i], -i))
    tied = vote.votes.count(vote.votes[best]) > vote.votes[best]
    how = "tie, decided by whom the others agree with most" if tied else "majority"
    # the first in the order of preference among those that come to the same
    winner = next(i for i, final in enumerate(vote.finals) if same_final(final, vote.finals[best]))
    return Picked((answers[winner],), f"{how}: {vote.votes[best]} of {len(answers)} come to {vote.finals[best].shown}")


def by_agreement(prompt: Prompt, answers: Sequence[Answer], grounds: Grounds) -> Picked:
    """The majority's where answers have a result; else the open text that is closest to all others."""
    vote = count_votes(prompt, answers, grounds.task)
    if vote.decides or len(answers) < 3 or grounds.closeness is None:  # two texts are equally close to each other
        return by_majority(prompt, answers, grounds)
    means = grounds.closeness.means([answer.text for answer in answers])
    best = max(range(len(answers)), key=lambda i: (means[i], -i))
    measure = grounds.closeness.name
    return Picked((answers[best],), f"closest in {measure} to the other {len(answers) - 1} ({means[best]:.2f})")


def by_reference(prompt: Prompt, answers: Sequence[Answer], grounds: Grounds) -> Picked:
    """The first answer that is the reference; none where no answer is, or the reference can't be compared."""
    found = [grounds.signals.get(answer.id, {}).get("reference") for answer in answers]
    right = [answer for answer, match in zip(answers, found, strict=True) if match is not None and match.value >= 1]
    if right:
        return Picked((right[0],), f"{len(right)} of {len(answers)} are the reference")
    if all(match is None for match in found):
        return Picked((), "there is no reference that it could be compared with")
    return Picked((), "none of the answers is the reference")


def by_judge(prompt: Prompt, answers: Sequence[Answer], grounds: Grounds) -> Picked:
    """The best score; ties go to the earlier answer. Without any score the first answer."""
    found = [grounds.signals.get(answer.id, {}).get("judge") for answer in answers]
    scored = [(match.value, -index) for index, match in enumerate(found) if match is not None]
    if not scored:
        return Picked((answers[0],), FIRST if len(answers) == 1 else f"not judged: {FIRST}")
    value, index = max(scored)
    return Picked((answers[-index],), f"the judge's score is {value:.2f}, best of {len(scored)}")


def by_best(prompt: Prompt, answers: Sequence[Answer], grounds: Grounds) -> Picked:
    """By what is at hand: a reference, then a judge, then a vote, then the order."""
    if _measured("reference", answers, grounds):
        return by_reference(prompt, answers, grounds)
    if _measured("judge", answers, grounds):
        return by_judge(prompt, answers, grounds)
    return by_majority(prompt, answers, grounds)


def by_all(prompt: Prompt, answers: Sequence[Answer], grounds: Grounds) -> Picked:
    """Every different answer, in order of preference."""
    different = {answer_key(answer.text, answer.tool_calls): answer for answer in reversed(answers)}
    kept = tuple(answer for answer in answers if answer in different.values())
    return Picked(kept, f"{len(kept)} different of {len(answers)} answers")


def by_votes(prompt: Prompt, answers: Sequence[Answer], grounds: Grounds) -> Picked:
    """Every answer, equal ones too: a label that three of four teachers give is an example three times, so a soft label.

    The sum of their cross-entropies is that to the distribution of the votes, times their number.
    """
    return Picked(tuple(answers), f"all {len(answers)} answers vote")


def by_committee(prompt: Prompt, answers: Sequence[Answer], grounds: Grounds) -> Picked:
    """The majority's where enough answers agree (grounds.quorum), else none.

    Open texts agree where they are close to each other; of those with the most that agree with them, the one closest to all. In a
    classification close is not enough: what is too long for a label there still is one name of a class. A tie never agrees: it
    can only be one where half of the committee or less is enough.
    """
    assert grounds.quorum is not None
    least, seats = grounds.quorum
    if approved := [answer for answer in answers if answer.id in grounds.good]:
        return Picked((approved[0],), "a person marked it as good")
    vote = count_votes(prompt, answers, grounds.task)
    if vote.decides or grounds.task.labels:
        real = [final.kind != "text" or not vote.decides for final in vote.finals]
        best = max(range(len(answers)), key=lambda i: (real[i], vote.votes[i], -i))
        agreed = vote.votes[best]
        if vote.decides:  # a tie is decided by trust
            best = answers.index(by_majority(prompt, answers, grounds).answers[0])
        said = f"{agreed} of {seats} come to {vote.finals[best].shown}"
        picked = answers[best]
        others = [i for i in range(len(answers)) if real[i] and vote.votes[i] == agreed]
        tied = any(not same_final(vote.finals[i], vote.finals[best]) for i in others)
    else:
        texts = [answer.text for answer in answers]
        close = (
            grounds.closeness.agreeing(texts) if grounds.closeness is not None and len(texts) > 1 else [1] * len(texts)
        )
        agreed = max(close)
        most = [answer for answer, count in zip(answers, close, strict=True) if count == agreed]
        picked = by_agreement(prompt, most, grounds).answers[0]
        said = f"{agreed} of {seats} say about the same"
        tied = grounds.closeness is not None and any(
            grounds.closeness.agreeing([picked.text, other.text])[0] < 2 for other in most if 2 * agreed <= seats
        )
    if least <= agreed and tied and 2 * agreed <= seats:
        return Picked((), f"a tie: {said}, and as many to something else", dropped_as="committee")
    if agreed < least:
        return Picked((), f"at most {said}; curate.agree asks for {least}", dropped_as="committee")
    return Picked((picked,), said)


def _shortest(prompt: Prompt, picked: Picked, fit: Sequence[Answer], task: Task) -> Picked:
    """Each picked answer in that of its equals which thought least.

    The shortest right one of several samples is what Kimi k1.5 learns from for short thinking (2501.12599, section 2.4). Equal
    are answers that come to the same; of open texts, and where several are trained on, those with the same text.
    """
    finals = {answer.id: final_of(prompt, answer, task) for answer in fit}
    reason = picked.reason

    def equal(one: Answer, other: Answer) -> bool:
        if answer_key(one.text, one.tool_calls) == answer_key(other.text, other.tool_calls):
            return True
        single = len(picked.answers) == 1 and finals[one.id].kind != "text"
        return single and same_final(finals[one.id], finals[other.id])

    taken = []
    for answer in picked.answers:
        equals = [other for other in fit if other.reasoning and equal(answer, other)]
        taken.append(min(equals, key=lambda other: estimate(other.reasoning or ""), default=answer))
        if taken[-1].id != answer.id:
            reason = f"{picked.reason}; shortest thinking of {len(equals)} equal answers"
    return Picked(tuple(taken), reason)


def _measured(signal: str, answers: Sequence[Answer], grounds: Grounds) -> bool:
    return any(signal in grounds.signals.get(answer.id, {}) for answer in answers)


METHODS: Mapping[Method, Callable[[Prompt, Sequence[Answer], Grounds], Picked]] = {
    "first": by_order,
    "majority": by_majority,
    "agreement": by_agreement,
    "reference": by_reference,
    "judge": by_judge,
    "best": by_best,
    "all": by_all,
    "votes": by_votes,
    "committee": by_committee,
}
"""Value of curate.choose -> function."""
BLIND: Mapping[Method, Callable[[Prompt, Sequence[Answer], Grounds], Picked]] = {
    "first": by_order,
    "agreement": by_agreement,
    "committee": by_agreement,
}
"""Value of curate.choose -> who chooses for held-out prompts, looking at nothing but the answers; for all others the majority."""
