"""The table of signals: name -> function. A signal is a measurement, not a verdict; filters.py has the thresholds.

A signal's name is its field in distil.runs.schemas.evidence.Evidence, whose docstring has the unit. Its function sees one prompt
with its answer and facts about all answers, or, for those in WHOLE, all pairs at once (votes, neighbors). It returns a `Found`,
or None where there is nothing to say, which keeps 100,000 rows small in memory.
"""

from __future__ import annotations

import importlib
from collections.abc import Collection, Mapping, Sequence
from typing import cast

from distil.curate.evidence.corpus import Corpus, Pair
from distil.curate.evidence.found import RowSignal, Signals, WholeSignal
from distil.curate.evidence.secrets import without_quotes

SIGNALS: dict[str, str] = {
    "truncated": "distil.curate.evidence.form:truncated",
    "empty": "distil.curate.evidence.form:empty",
    "refusal": "distil.curate.evidence.declining:refusal",
    "boilerplate": "distil.curate.evidence.declining:boilerplate",
    "vendor_identity": "distil.curate.evidence.declining:vendor_identity",
    "repetition": "distil.curate.evidence.repetition:repetition",
    "script": "distil.curate.evidence.language:script",
    "json_form": "distil.curate.evidence.requirements:json_form",
    "json_schema": "distil.curate.evidence.requirements:json_schema",
    "fence": "distil.curate.evidence.requirements:fence",
    "tool_calls": "distil.curate.evidence.tools:tool_calls",
    "secrets": "distil.curate.evidence.secrets:secrets",
    "personal_data": "distil.curate.evidence.secrets:personal_data",
}
"""Signals of one answer."""
WHOLE: dict[str, str] = {
    "length": "distil.curate.evidence.extent:length",
    "echo": "distil.curate.evidence.extent:echo",
    "language": "distil.curate.evidence.language:language",
    "reference": "distil.curate.references:reference",
    "reference_similarity": "distil.curate.references:reference_similarity",
    "agreement": "distil.curate.votes:agreement",
    "label_agreement": "distil.curate.label_errors:label_agreement",
    "relevance": "distil.curate.relevance:relevance",
}
"""Signals that need all answers at once."""
ON_REQUEST = frozenset({"tool_calls", "json_schema", "reference_similarity", "label_agreement", "relevance"})
"""Signals that cost time, a package or money, or stop at bad input: measured only for a filter or a choice that uses them."""


def measure(
    pairs: Sequence[Pair],
    corpus: Corpus,
    wanted: Collection[str] = (),
    own: Mapping[str, RowSignal] | None = None,
    given: Mapping[str, WholeSignal] | None = None,
) -> list[Signals]:
    """What is found about each pair, in their order.

    wanted: signals of ON_REQUEST to measure too; own: the user's, by name; given: functions made by the stage for signals that
    need more than the pairs (an embedder, a judge), in place of the table's.
    """
    chosen = {name for name in (*SIGNALS, *WHOLE) if name not in ON_REQUEST or name in wanted}
    rows = {name: row_signal(name) for name in SIGNALS if name in chosen} | dict(own or {})
    table: list[Signals] = []
    for prompt, answer in pairs:
        found = {name: function(prompt, answer, corpus) for name, function in rows.items()}
        signals = {name: value for name, value in found.items() if value is not None}
        table.append(without_quotes(signals, prompt, answer) if "secrets" in signals else signals)
    whole = {name: cast(WholeSignal, load(WHOLE[name])) for name in WHOLE if name in chosen}
    for name, over_all in (whole | dict(given or {})).items():
        for signals, value in zip(table, over_all(pairs, corpus), strict=True):
            if value is not None:
                signals[name] = value
    return table


def row_signal(name: str) -> RowSignal:
    """The function of one of SIGNALS."""
    return cast(RowSignal, load(SIGNALS[name]))


def load(target: str) -> object:
    """The function that `module:function` names."""
    module, function = target.split(":")
    return getattr(importlib.import_module(module), function)
