"""The table of metrics: what each compares, which way is good, and what the verdict may use it for.

Every metric takes all cases of one model and gives one finite float per case, or None where it does not apply (no reference, the
teacher's answer is not a JSON object, ...). The functions are in the files beside this one, by subject; docs/metrics.md is for
people.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple, cast


class Case(NamedTuple):
    """One answer to judge."""

    prompt: str
    """All turns that were shown to the model, joined."""
    answer: str
    """The model's answer."""
    teacher: str | None
    """The teacher's answer; None when the answer is the teacher's own."""
    reference: str | None
    """The right answer, where the user has one."""
    finish_reason: str = "stop"
    """stop | length | content_filter | ..., as the model or its provider reported it."""
    tool_calls: Sequence[Mapping[str, object]] = ()
    """Tool calls in the answer, in OpenAI's shape."""
    teacher_tool_calls: Sequence[Mapping[str, object]] = ()
    """The teacher's tool calls; empty when the answer is the teacher's own."""
    response_format: Mapping[str, object] | None = None
    """What the answer had to look like, in OpenAI's shape: a JSON schema, any JSON object, or None."""
    prompt_id: str = ""
    """The prompt's id, for messages."""
    fields: Mapping[str, str] = {}
    """Further columns of the prompt's row."""
    nll: float | None = None
    """Mean negative log-likelihood of the teacher's answer under the model, in nats per token, where it was measured."""
    kl: float | None = None
    """KL(teacher || model) in nats per token of the teacher's answer, where it was measured."""


Values = list[float | None]
Function = Callable[[Sequence[Case]], Values]
Against = Literal["teacher", "reference", "nothing"]
Better = Literal["higher", "lower", "one"]


class Metric(NamedTuple):
    """What a metric is, for people and for the statistics."""

    entry: str
    """`module:function`, imported when it is used."""
    label: str
    """For tables."""
    against: Against
    """What the answer is compared with. Against the teacher, the teacher itself has no value; its second answer has."""
    better: Better
    """Which way is good; `one` = the nearer to 1 the better."""
    varies: bool = True
    """Two good answers may differ in it: without the teacher's second answer, a student that differs proves nothing."""
    guard: bool = False
    """Whether it is a 0/1 fault that a student must not commit more often than the teacher."""
    deciding: bool = False
    """Whether it can decide that a student is good enough (see DECIDING for the order)."""
    default: bool = True
    """Whether it is measured when evaluate.metrics says `default`."""
    function: Function | None = None
    """Of a metric of the user's own, which is loaded already."""


SETTLED = ("reversed_answers",)
"""Faults against the teacher's answer that no good answer commits, whatever its words."""


def _metric(
    file: str, function: str, label: str, against: Against, better: Better = "higher", role: str = ""
) -> Metric:
    return Metric(
        f"distil.evaluate.{file}:{function}",
        label,
        against,
        better,
        varies=against != "nothing" and function not in SETTLED,
        guard=role == "guard",
        deciding=role == "deciding",
        default=role != "optional",
    )


METRICS: dict[str, Metric] = {
    "similarity": _metric("similarity", "similarity", "similarity to the teacher", "teacher", role="deciding"),
    "similar_share": _metric("similarity", "similar_share", "answers above 0.9", "teacher"),
    "field_accuracy": _metric("metrics.fields", "field_accuracy", "fields right", "reference", role="deciding"),
    "numeric_accuracy": _metric("metrics.numeric", "numeric_accuracy", "numbers right", "reference", role="deciding"),
    "choice_accuracy": _metric("metrics.match", "choice_accuracy", "choices right", "reference", role="deciding"),
    "accuracy": _metric("metrics.match", "accuracy", "answers right", "reference", role="deciding"),
    "token_f1": _metric("metrics.overlap", "token_f1", "words of the reference (F1)", "reference"),
    "tool_calls": _metric("metrics.tools", "tool_calls", "tool calls as the teacher's", "teacher", role="deciding"),
    "tool_name": _metric("metrics.tools", "tool_name", "tools as the teacher's", "teacher"),
    "tool_arguments": _metric("metrics.tools", "tool_arguments", "tool arguments as the teacher's", "teacher"),
    "field_agreement": _metric(
        "metrics.fields", "field_agreement", "fields as the teacher", "teacher", role="deciding"
    ),
    "numeric_agreement": _metric(
        "metrics.numeric", "numeric_agreement", "numbers as the teacher", "teacher", role="deciding"
    ),
    "label_agreement": _metric("metrics.match", "label_agreement", "labels as the teacher", "teacher", role="deciding"),
    "exact_match": _metric("metrics.match", "exact_match", "answers as the teacher", "teacher"),
    "rouge_l": _metric("metrics.overlap", "rouge_l", "ROUGE-L with the teacher", "teacher"),
    "length_ratio": _metric("metrics.overlap", "length_ratio", "length / teacher's", "teacher", "one"),
    "self_similarity": _metric(
        "metrics.variety", "self_similarity", "similarity of its answers to each other", "nothing", "lower"
    ),
    "perplexity": _metric(
        "metrics.likelihood", "perplexity", "perplexity of the teacher's answers", "teacher", "lower", "optional"
    ),
    "kl": _metric("metrics.likelihood", "kl", "KL from the teacher, nats per token", "teacher", "lower", "optional"),
    "valid_json": _metric("metrics.form", "valid_json", "valid JSON", "nothing"),
    "number_mismatch": _metric("metrics.facts", "number_mismatch", "numbers of its own", "teacher", "lower", "guard"),
    "changed_numbers": _metric(
        "metrics.facts", "changed_numbers", "numbers against the teacher's", "teacher", "lower", "guard"
    ),
    "new_names": _metric("metrics.facts", "new_names", "names of its own", "teacher", "lower", "guard"),
    "reversed": _metric(
        "metrics.polarity", "reversed_answers", "yes and no against the teacher's", "teacher", "lower", "guard"
    ),
    "refusal": _metric("metrics.form", "refusal", "refused", "nothing", "lower", "guard"),
    "truncated": _metric("metrics.form", "truncated", "cut off", "nothing", "lower", "guard"),
    "empty": _metric("metrics.form", "empty", "empty answers", "nothing", "lower", "guard"),
    "bad_format": _metric("metrics.form", "bad_format", "another form than the teacher's", "teacher", "lower", "guard"),
    "schema_invalid": _metric("metrics.form", "schema_invalid", "against its schema", "nothing", "lower", "guard"),
    "length_off": _metric(
        "metrics.overlap", "length_off", "under half or over twice as long", "teacher", "lower", "guard"
    ),
    "repeated": _metric("metrics.variety", "repeated", "one answer to different prompts", "teacher", "lower", "guard"),
}

BUILT_IN = frozenset(METRICS)
"""The names above. METRICS also gets the user's own metrics, when the configuration names some (choice.py)."""
DECIDING = (
    "tool_calls", "field_accuracy", "numeric_accuracy", "choice_accuracy", "accuracy",
    "field_agreement", "numeric_agreement", "label_agreement", "similarity",
)  # fmt: skip
"""The metrics that can decide, the one that proves most first: the truth before the teacher, the exact before the similar."""
GUARDS = tuple(name for name, metric in METRICS.items() if metric.guard)
"""The faults that a student must not commit more often than the teacher (0/1 per answer, lower is better)."""


def load(metric: Metric) -> Function:
    """The callable behind a metric of the table."""
    if metric.function is not None:
        return metric.function
    module, _, attribute = metric.entry.partition(":")
    return cast(Function, getattr(importlib.import_module(module), attribute))
