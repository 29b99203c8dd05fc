"""The table of filters: a name with a threshold over a signal. The config keys are curate.filters and curate.thresholds.

Not duplicates and leaks: those concern pairs of rows (select.py, split.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, cast

from distil.curate.evidence.corpus import Pair
from distil.curate.evidence.found import Found, RowSignal, Signals
from distil.curate.evidence.own import is_own, load_own
from distil.curate.evidence.signals import ON_REQUEST, load
from distil.errors import UserError, did_you_mean

Edit = Callable[[Pair], Pair]
"""Corrects the answer (or the prompt) of a pair; their ids stay."""


class Filter(NamedTuple):
    """Drops (or edits) an answer whose signal is at the threshold or beyond."""

    signal: str
    """A field of Evidence."""
    threshold: float = 1
    """In the signal's unit."""
    suspect: float | None = None
    """An answer that passes counts as suspicious from here; None = from the threshold (for a filter that is off)."""
    below: bool = False
    """Drops values under the threshold instead of at or over it."""
    edit: str | None = None
    """`module:function` of a Pair that gives the corrected Pair: the answer is kept with it instead of dropped."""
    reason: str = "{detail}"
    """The reason in dropped.jsonl: {detail} and {value} are the signal's, {threshold} the filter's."""
    training_only: bool = False
    """Keeps answers out of the training split alone: a test without the prompts that the teacher got wrong would praise it."""

    def drops(self, signals: Signals) -> str | None:
        """The reason to drop the answer, or None."""
        found = signals.get(self.signal)
        if found is None or not self._beyond(found, self.threshold):
            return None
        return self.says(signals)

    def says(self, signals: Signals) -> str:
        """What was found, whatever its value."""
        found = signals[self.signal]
        return self.reason.format(detail=found.detail, value=f"{found.value:.3g}", threshold=f"{self.threshold:.3g}")

    def suspects(self, signals: Signals) -> bool:
        """Whether an answer that was kept should be looked at."""
        found = signals.get(self.signal)
        return found is not None and self._beyond(found, self.threshold if self.suspect is None else self.suspect)

    def _beyond(self, found: Found, limit: float) -> bool:
        return found.value < limit if self.below else found.value >= limit


FILTERS: dict[str, Filter] = {
    "truncated": Filter("truncated"),
    "empty": Filter("empty"),
    "refusal": Filter("refusal", 0.5, suspect=0.2),
    "boilerplate": Filter("boilerplate", edit="distil.curate.evidence.declining:strip_opening"),
    "vendor_identity": Filter("vendor_identity", 0.5, suspect=0.2),
    "repetition": Filter("repetition", 0.02, suspect=0.0),
    "wrong_script": Filter("script"),
    "wrong_language": Filter("language"),
    "invalid_json": Filter("json_form", 0.97, suspect=0.5),
    "schema": Filter("json_schema", suspect=0.5),
    "context": Filter("context"),
    "too_short": Filter("length", -4, below=True),
    "too_long": Filter("length", 4),
    "echo": Filter("echo", 0.9, suspect=0.5),
    "unfence": Filter("fence", edit="distil.curate.evidence.requirements:without_fence"),
    "tool_calls": Filter("tool_calls", suspect=0.5),
    "secrets": Filter("secrets"),
    "personal_data": Filter("personal_data"),
    "irrelevant": Filter("relevance", 0.5, suspect=0.5, below=True),
    "wrong_answer": Filter("reference", below=True, training_only=True),
    "unlike_reference": Filter("reference_similarity", 0.3, below=True, training_only=True),
    "wrong_label": Filter("label_agreement", 0.05, suspect=0.05, below=True, training_only=True),
}
OPTIONAL = frozenset(
    {
        "too_short",
        "too_long",
        "echo",
        "personal_data",
        "irrelevant",
        "wrong_answer",
        "unlike_reference",
        "wrong_label",
    }
)
"""What is normal in many tasks (an address, a long answer, words of the question), or right where a reference is not."""
DEFAULT = tuple(name for name in FILTERS if name not in OPTIONAL)


class Chosen(NamedTuple):
    """The filters of a run."""

    active: dict[str, Filter]
    """Name -> filter, in the order in which they object."""
    off: dict[str, Filter]
    """Those that are not on: what they would have dropped is suspicious."""
    own: dict[str, RowSignal]
    """The user's functions, by name."""
    files: list[Path]
    """Where those are: a change of them makes the stage stale."""

    @property
    def wanted(self) -> set[str]:
        """Signals that are needed although they are measured on request only."""
        return {filter_.signal for filter_ in self.active.values()} & ON_REQUEST


def corrected(pair: Pair, filter_: Filter) -> Pair:
    """The pair as the filter's edit leaves it."""
    assert filter_.edit is not None
    return cast(Edit, load(filter_.edit))(pair)


def choose_filters(
    names: str | Sequence[str], thresholds: Mapping[str, float] | None = None, root: Path | None = None
) -> Chosen:
    """The filters that `curate.filters` and `curate.thresholds` name.

    names: "default", or a list of names, in which `default` stands for the default ones, `-refusal` takes one out, and
    `my_filters.py:function` is a function of the user's own (own.py), its path relative to `root`. Raises UserError.
    """
    chosen: dict[str, Filter] = {}
    own: dict[str, RowSignal] = {}
    files: list[Path] = []
    for name in [names] if isinstance(names, str) else names:
        plain = name.removeprefix("-")
        if name == "default":
            chosen |= {each: FILTERS[each] for each in DEFAULT}
        elif is_own(name):
            loaded = load_own(name, root or Path())
            own[loaded.name] = loaded.measure
            files.append(loaded.path)
            chosen[loaded.name] = Filter(loaded.name, threshold=0.5)
        elif plain not in FILTERS:
            known = ["default", *FILTERS]
            raise UserError(
                f"curate.filters: found {name!r}, expected names from {', '.join(known)}, a name with a minus before it to "
                f"leave it out (-refusal), or a function of your own (my_filters.py:function).{did_you_mean(plain, known)}"
            )
        elif plain != name:
            chosen.pop(plain, None)
        else:
            chosen[name] = FILTERS[name]
    off = {name: filter_ for name, filter_ in FILTERS.items() if name not in chosen}
    return Chosen(_moved(chosen, off, thresholds or {}), off, own, files)


def _moved(chosen: dict[str, Filter], off: Mapping[str, Filter], thresholds: Mapping[str, float]) -> dict[str, Filter]:
    """The filters at the user's thresholds."""
    for name in thresholds:
        if name not in chosen:
            known = f"which is not among curate.filters ({', '.join(chosen)})" if name in off else "unknown here"
            raise UserError(
                f"curate.thresholds: found {name!r}, {known}.{did_you_mean(name, chosen)} Take it out, or add the filter."
            )
    return {
        name: filter_._replace(threshold=thresholds[name]) if name in thresholds else filter_
        for name, filter_ in chosen.items()
    }
