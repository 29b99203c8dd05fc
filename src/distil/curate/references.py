"""Is the answer the reference? By value for JSON, numbers, letters and labels; open texts are not compared word for word.

A reference such as "It usually takes two days" has a thousand right answers, so nothing says that another wording is wrong: there
the answer's similarity in meaning is evidence at most.
"""

from __future__ import annotations

from collections.abc import Sequence

from distil.curate.evidence.corpus import Corpus, Pair
from distil.curate.evidence.found import Found
from distil.curate.votes import Task, describe_task, final_of, reference_kind
from distil.embeddings.embedder import embedder
from distil.final_answer import SHOWN, final_answer, is_label, label_in, same_final
from distil.text import calls_key, calls_of, normalize_answer, one_line, same_answer

EXACT_SHARE = 0.5
"""From this share of equal ones on, short answers of a task are compared exactly with short references."""
LEAST_EXACT = 10
"""Answers with a short reference from which that share means something."""


def reference(pairs: Sequence[Pair], corpus: Corpus) -> list[Found | None]:
    """Signal `reference`: 1 = what the answer comes to is the reference, 0 = it is something else; None = can't be told."""
    if not any(pair.prompt.reference for pair in pairs):
        return [None] * len(pairs)
    task = describe_task(pairs)
    exact = _exact(pairs, task)
    return [_match(pair, task, exact=exact) for pair in pairs]


def _match(pair: Pair, task: Task, *, exact: bool) -> Found | None:
    prompt, answer = pair
    if not prompt.reference or not prompt.reference.strip():
        return None
    shown = one_line(prompt.reference, SHOWN)
    if same_answer(answer.text, prompt.reference) and not answer.tool_calls:
        return Found(1, f"{shown}, as the reference")
    if answer.tool_calls:
        return _calls_match(pair, shown)
    kind = reference_kind(prompt.reference, task.labels)
    if kind == "text":
        named = label_in(answer.text, {normalize_answer(prompt.reference)}) == normalize_answer(prompt.reference)
        if exact and is_label(prompt.reference) and is_label(answer.text) and not named:
            return Found(0, f"{one_line(answer.text, SHOWN)}, and the reference is {shown}")
        return None
    wanted = final_answer(prompt.reference, None, kind, task.labels)
    found = final_of(prompt, answer, task)
    same = same_final(found, wanted)
    said = wanted.shown if same else f"{found.shown}, and the reference is {wanted.shown}"
    return Found(float(same), f"{said}, as the reference" if same else said)


def _calls_match(pair: Pair, shown: str) -> Found | None:
    """Tool calls against a reference that is one call or a list of calls in OpenAI's shape; None for any other reference."""
    wanted = calls_of(pair.prompt.reference or "")
    if not wanted:
        return None
    same = calls_key(wanted) == calls_key(pair.answer.tool_calls or [])
    return Found(float(same), f"{'the same calls as' if same else 'other calls than'} the reference {shown}")


def _exact(pairs: Sequence[Pair], task: Task) -> bool:
    """Whether short answers to prompts with a short open reference (`Paris`) usually are that reference."""
    same = [
        normalize_answer(pair.answer.text) == normalize_answer(pair.prompt.reference)
        for pair in pairs
        if pair.prompt.reference
        and is_label(pair.prompt.reference)
        and reference_kind(pair.prompt.reference, task.labels) == "text"
    ]
    return len(same) >= LEAST_EXACT and sum(same) >= EXACT_SHARE * len(same)


def reference_similarity(pairs: Sequence[Pair], corpus: Corpus) -> list[Found | None]:
    """Signal `reference_similarity`: the cosine to an open reference, by MiniLM; None where `reference` compares by value.

    Raises UserError where `distil[evaluate]` is not installed.
    """
    task = describe_task(pairs)
    rows = [
        index
        for index, (prompt, answer) in enumerate(pairs)
        if prompt.reference and answer.text.strip() and reference_kind(prompt.reference, task.labels) == "text"
    ]
    left = embedder().vectors([pairs[index].answer.text for index in rows])
    right = embedder().vectors([pairs[index].prompt.reference or "" for index in rows])
    found: list[Found | None] = [None] * len(pairs)
    for index, cosine in zip(rows, (left * right).sum(axis=1), strict=True):
        found[index] = Found(float(cosine), f"similarity {cosine:.2f} to the reference")
    return found
