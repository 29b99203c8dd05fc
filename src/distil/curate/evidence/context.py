"""Signal `context`: conversations that are longer than the student reads. It needs the student, so the stage makes it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from distil.curate.evidence.corpus import Corpus, Pair
from distil.curate.evidence.found import Found, WholeSignal
from distil.models.config import StudentConfig
from distil.models.context import TokenLimit, known_context
from distil.models.template import student_template
from distil.records import Example
from distil.runs.artifacts import Project

Fits = Callable[[Pair], bool]
"""Whether a student reads a prompt with its answer and thinking."""


def context_signal(project: Project, student: StudentConfig | None, max_length: int | None) -> WholeSignal | None:
    """The signal for this student; None without one, or where nothing is known of its context.

    max_length: train.max_length, which counts instead of the student's context where it is smaller.
    """
    counter = _counter(project, student, max_length)
    if counter is None:
        return None

    def context(pairs: Sequence[Pair], corpus: Corpus) -> list[Found | None]:
        """Tokens of prompt and answer as a multiple of what the student reads, where they are more."""
        return [_measured(pair, counter) for pair in pairs]

    return context


def fits_with_thinking(project: Project, student: StudentConfig | None, max_length: int | None) -> Fits | None:
    """Whether the student reads a prompt and its answer together with the answer's thinking; None where nothing says so."""
    counter = _counter(project, student, max_length)
    if counter is None:
        return None

    def fits(pair: Pair) -> bool:
        example = Example.of(pair.prompt, pair.answer, "train", reasoning=pair.answer.reasoning)
        return counter.excess(example.messages, example.tools) is None

    return fits


def _counter(project: Project, student: StudentConfig | None, max_length: int | None) -> TokenLimit | None:
    known = known_context(student.model) if student is not None else None
    limit = min(known or max_length or 0, max_length or known or 0)
    if student is None or not limit:
        return None
    return TokenLimit(student.model, limit, partial(student_template, student, project))


def _measured(pair: Pair, counter: TokenLimit) -> Found | None:
    example = Example.of(pair.prompt, pair.answer, "train")
    tokens = counter.excess(example.messages, example.tools)
    if tokens is None:
        return None
    return Found(
        tokens / counter.limit, f"{tokens:,} tokens with its prompt, where the student reads at most {counter.limit:,}"
    )
