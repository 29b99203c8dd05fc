"""Signal `context`: conversations that are longer than the student reads. It needs the student, so the stage makes it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from distil.curate.evidence.corpus import Corpus, Pair
from distil.curate.evidence.found import Found, WholeSignal
from distil.models.config import StudentConfig
from distil.models.context import TokenLimit, known_context
from distil.models.template import student_template
from distil.records import Example
from distil.runs.artifacts import Project


def context_signal(project: Project, student: StudentConfig | None, max_length: int | None) -> WholeSignal | None:
    """The signal for this student; None without one, or where nothing is known of its context.

    max_length: train.max_length, which counts instead of the student's context where it is smaller.
    """
    if student is None:
        return None
    known = known_context(student.model)
    limit = min(known or max_length or 0, max_length or known or 0)
    if not limit:
        return None
    counter = TokenLimit(student.model, limit, partial(student_template, student, project))

    def context(pairs: Sequence[Pair], corpus: Corpus) -> list[Found | None]:
        """Tokens of prompt and answer as a multiple of what the student reads, where they are more."""
        return [_measured(pair, counter) for pair in pairs]

    return context


def _measured(pair: Pair, counter: TokenLimit) -> Found | None:
    example = Example.of(pair.prompt, pair.answer, "train")
    tokens = counter.excess(example.messages, example.tools)
    if tokens is None:
        return None
    return Found(
        tokens / counter.limit, f"{tokens:,} tokens with its prompt, where the student reads at most {counter.limit:,}"
    )
