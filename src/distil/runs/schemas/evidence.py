"""What is known about each answer: one row of work/curate/evidence.jsonl, one field for each signal.

Written by `distil curate`; read by `distil view`, the doctor and the report. The functions that measure: distil/curate/evidence.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from distil.records import Record


class Signal(Record):
    """One measurement of one answer."""

    value: float
    """In the unit of its field."""
    detail: str | None = None
    """What was found, in one line: a phrase, a language, a fault. Never a secret or somebody's data."""


ReasonKind = Literal["dropped", "corrected", "suspicious", "not_chosen"]
"""dropped: no example was made. corrected: one was, of the answer with a change. suspicious: one was, and a person should look.
not_chosen: another answer to the same prompt was taken."""


class Sample(Record):
    """An example of a reason, ready to be shown: one line each, without control characters."""

    answer_id: str
    """The answer."""
    text: str
    """Its beginning; empty where it must not be shown or says nothing."""
    reason: str
    """What was found in it."""


class Reason(Record):
    """How many answers something was said about, and for example."""

    kind: ReasonKind
    """What became of them."""
    name: str
    """The filter or step."""
    count: int
    """How many answers."""
    examples: list[Sample]
    """At most two."""


class Evidence(Record):
    """Everything measured about one answer; a field is None where nothing was found, or where it does not apply."""

    answer_id: str
    """The answer."""
    prompt_id: str
    """Its prompt."""
    dropped: str | None = None
    """The filter or step that dropped it (dropped.jsonl has the reason); None = an example was made of it."""
    suspicious: list[str] = Field(default_factory=list)
    """Filters that it passed but comes close to, or that are switched off and would have dropped it."""
    edits: list[str] = Field(default_factory=list)
    """What was changed before it became an example: the names of filters that edit rather than drop."""
    original: str | None = None
    """Its text before those edits; None = unchanged."""

    masked: dict[str, int] = Field(default_factory=dict)
    """Different values that are placeholders now, by the word of the placeholder (EMAIL, API_KEY, ...); see curate.mask."""

    truncated: Signal | None = None
    """1 = cut off at its limit of tokens."""
    empty: Signal | None = None
    """1 = neither text nor a tool call."""
    refusal: Signal | None = None
    """0 to 1: how surely the answer declines, with its phrase. 1 also where the provider says so."""
    boilerplate: Signal | None = None
    """Characters of an opening that says nothing (`As an AI language model, ...`) before an answer that does."""
    vendor_identity: Signal | None = None
    """0 to 1: how surely the answer names the model or vendor that it comes from."""
    repetition: Signal | None = None
    """Share of the answer that is one block over and over, 0 to 1."""
    script: Signal | None = None
    """1 = in other letters than its prompt, where that is unusual."""
    language: Signal | None = None
    """0 to 1: how surely it is in another language than it should be, where that is unusual."""
    json_form: Signal | None = None
    """1 = not JSON, although its prompt asks for it or all comparable answers are."""
    json_schema: Signal | None = None
    """1 = JSON that breaks the schema in its prompt's response_format."""
    context: Signal | None = None
    """Tokens of prompt and answer as a multiple of what the student reads, where they are more."""
    length: Signal | None = None
    """Robust standard deviations from the usual length of an answer in this task, in log characters; below 0 = shorter."""
    echo: Signal | None = None
    """Share of the answer that repeats its prompt word for word, 0 to 1."""
    fence: Signal | None = None
    """1 = JSON inside a code fence, where JSON alone is asked for."""
    tool_calls: Signal | None = None
    """1 = a call that no program could carry out, or one that the prompt did not want."""
    secrets: Signal | None = None
    """Number of keys, tokens and passwords in prompt and answer."""
    personal_data: Signal | None = None
    """Number of e-mail addresses, phone numbers, cards, accounts and the like in prompt and answer."""
    reference: Signal | None = None
    """1 = the answer comes to the prompt's reference (number, label, letter, JSON, calls), 0 = not; None for open ones."""
    reference_similarity: Signal | None = None
    """Cosine between the answer and an open reference, by MiniLM; no verdict, since a right answer may be worded otherwise."""
    agreement: Signal | None = None
    """Share of the answers to this prompt that give the same final answer, 0 to 1, this one included."""
    label_agreement: Signal | None = None
    """Share of the 10 nearest other prompts whose answer is the same label, 0 to 1."""
    relevance: Signal | None = None
    """The prompt's closeness to the 10 nearest others by MiniLM, as a share of what is usual in this task."""
    judge: Signal | None = None
    """The judge's score of the answer, 0 to 1."""
    own: dict[str, Signal] = Field(default_factory=dict)
    """Filters of the user's own Python file, by the function's name."""
