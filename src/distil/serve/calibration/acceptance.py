"""The label that calibration needs: whether an answer of the student is bad. Not the evaluation.

What it is compared with: the reference where the prompts have one, else the teacher's answer. How: by what both come to (fields
of JSON, the number, the letter, the label), and only where they come to nothing by a judge (judge.py) or by similarity. A
similarity says nothing about a number that is another one, so an answer with other numbers or names than the target, or the
opposite statement, is bad however similar it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

from distil.errors import UserError
from distil.facts import new_names, new_numbers, numbers_contradict
from distil.fields import field_share
from distil.final_answer import are_labels, final_answer, form_of, same_final, shared_form
from distil.polarity import is_reversed
from distil.records import Example
from distil.refusals.score import find_refusal
from distil.text import calls_key, calls_of, conversation_text, normalize_answer, parse_object, same_answer
from distil.thinking import visible

Similarity = Callable[[Sequence[str], Sequence[str]], Sequence[float]]
"""Semantic similarity of pairs of texts, such as distil.evaluate.similarity.cosines."""
Bad = Literal["auto", "reference", "judge", "fields", "similarity"]

FIELDS_GOAL = 1.0
PROSE_GOAL = 0.85
ENOUGH_REFERENCES = 0.9
"""From this share of prompts with a reference on, `auto` compares with it; the prompts without one are then no labels."""


class Given(NamedTuple):
    """One answer of the student, and what it is judged by."""

    example: Example
    text: str
    """The student's answer."""
    calls: Sequence[dict[str, object]] = ()
    """Its tool calls."""
    whole: bool = True
    """Whether it ended by itself: an answer that was cut off is bad."""


class Rule(NamedTuple):
    """How the answers of a task are compared."""

    by: Literal["reference", "judge", "fields", "similarity"]
    """What decides: the reference, a judge, what the teacher's answer comes to, or the similarity to it."""
    kind: Literal["fields", "label", "number", "letter", "prose"]
    """What the targets are."""
    goal: float
    """An answer is good from this agreement on."""
    labels: frozenset[str] = frozenset()
    """The labels of a classification with references, normalized."""
    judge: Callable[[Sequence[Given]], list[bool]] | None = None
    """Of `judge`: which answers are bad."""
    judged: str = ""
    """Of `judge`: what bad means."""

    def sentence(self) -> str:
        """What `bad` means, for a person."""
        if self.by == "judge":
            return self.judged
        whose = "the reference" if self.by == "reference" else "the teacher's"
        if self.kind == "prose":
            target = whose if self.by == "reference" else "the teacher's answer"
            return f"a similarity to {target} below {self.goal:g}, or other numbers or names, or the opposite"
        if self.kind != "fields":
            return f"another {self.kind} than {whose}"
        if self.goal >= 1:
            return f"any field other than {whose}"
        fields = "the reference's fields" if self.by == "reference" else "the teacher's fields"
        return f"under {self.goal:.0%} of {fields}"


def choose_rule(
    examples: Sequence[Example], bad: Bad = "auto", goal: float | None = None, judge: Rule | None = None
) -> Rule:
    """The rule for the labeled prompts: as `bad` names it, or the first of reference, fields, judge, similarity that decides.

    judge: the rule of a judge that may be asked; None = there is none. It costs money, so that `auto` asks it about prose only.
    An open reference ("It usually takes two days") has a thousand right answers, so `auto` compares with the teacher there.
    Raises UserError where `bad` asks for something that the prompts do not have.
    """
    if bad == "judge":
        if judge is None:
            raise UserError(
                "serve.bad is judge, but there is no judge. Name one in distil.yaml, such as `evaluate: {judge: {model: "
                "anthropic/claude-sonnet-4-5}}` (or serve.judge), or type --set serve.bad=auto."
            )
        return judge
    references = [example.reference for example in examples if example.reference and example.reference.strip()]
    if bad == "reference" and not references:
        raise UserError(
            "serve.bad is reference, but no validation prompt has a `reference`. Give the prompts one, or type "
            "--set serve.bad=auto."
        )
    if bad == "reference" or (bad == "auto" and references and len(references) >= ENOUGH_REFERENCES * len(examples)):
        rule = _rule("reference", references, goal)
        if rule.kind != "prose" or bad == "reference":
            return rule
    targets = [visible(example.answer) for example in examples]
    rule = Rule("similarity", "prose", PROSE_GOAL if goal is None else goal)
    if bad == "similarity":
        return rule
    found = _rule("fields", targets, goal)
    if found.kind != "prose":
        return found
    if bad == "fields":
        raise UserError(
            "serve.bad is fields, but most of the teacher's answers are prose: no JSON, number, letter or label that could be "
            "compared. Type --set serve.bad=similarity, or give the prompts a `reference`."
        )
    return rule if judge is None else judge


def _rule(by: Literal["reference", "fields"], targets: Sequence[str], goal: float | None) -> Rule:
    """The rule for the majority of the targets."""
    kind = shared_form(map(form_of, targets))
    if kind == "json":
        return Rule(by, "fields", FIELDS_GOAL if goal is None else goal)
    if kind in ("number", "letter"):
        return Rule(by, kind, 1.0)
    if kind == "label" or are_labels(targets):
        closed = by == "reference" and are_labels(targets)
        return Rule(by, "label", 1.0, frozenset(map(normalize_answer, targets)) if closed else frozenset())
    return Rule(by, "prose", PROSE_GOAL if goal is None else goal)


def bad_answers(rule: Rule, given: Sequence[Given], similarity: Similarity | None) -> list[bool | None]:
    """Per answer whether it is bad; None where there is nothing to compare with, so that it does not count as a label.

    Raises UserError when prose must be compared without a similarity.
    """
    if rule.judge is not None:
        return list(rule.judge(given))
    targets = [_target(rule, one.example) for one in given]
    bad = [None if t is None else _is_bad(rule, one, t) for one, t in zip(given, targets, strict=True)]
    open_rows = [row for row, value in enumerate(bad) if value == "open"]
    if open_rows and similarity is None:
        raise UserError(
            "The answers are prose, so calibration needs a similarity, and none was given. "
            "Type: pip install 'distil[evaluate]'"
        )
    pairs = [(visible(given[row].text), targets[row] or "") for row in open_rows]
    values = similarity([a for a, _ in pairs], [t for _, t in pairs]) if pairs and similarity else []
    for row, (answer, target), value in zip(open_rows, pairs, values, strict=True):
        asked = conversation_text(given[row].example.prompt_messages)
        bad[row] = float(value) < rule.goal or _other_facts(answer, target, asked)
    return [None if value is None else bool(value) for value in bad]


def _target(rule: Rule, example: Example) -> str | None:
    if rule.by == "reference":
        return example.reference if example.reference and example.reference.strip() else None
    return visible(example.answer)


def _is_bad(rule: Rule, one: Given, target: str) -> bool | Literal["open"]:
    """Whether an answer is bad; "open" where only its similarity can tell."""
    text, wanted = visible(one.text), one.example.messages[-1].tool_calls or ()
    if not one.whole:
        return True
    if rule.by != "reference" and (one.calls or wanted):
        return calls_key(one.calls) != calls_key(wanted)
    if one.calls:  # the reference is a call or a list of them, or there should have been none
        asked = calls_of(target)
        return not asked or calls_key(asked) != calls_key(one.calls)
    if same_answer(text, target):
        return False
    if parse_object(target) is not None:
        return (field_share(text, target) or 0.0) < (rule.goal if rule.kind == "fields" else FIELDS_GOAL)
    if rule.kind == "prose":
        return True if not text.strip() or not target.strip() else "open"
    if rule.kind == "fields" or (rule.kind == "label" and rule.by != "reference"):
        return True
    labels = rule.labels or {normalize_answer(target)}
    return not same_final(final_answer(text, None, rule.kind, labels), final_answer(target, None, rule.kind, labels))


def _other_facts(answer: str, target: str, asked: str) -> bool:
    """Whether numbers or names of answer and target are not the same, apart from the prompt's; or a statement or the help is not.

    Also what is missing counts: of gsm8k's similar solutions without numbers of their own 28% are wrong, of those that lack none
    of the teacher's either 13%.
    """
    ours, theirs = [asked, target], [asked, answer]
    return (
        bool(new_numbers(answer, ours) or new_numbers(target, theirs) or numbers_contradict(answer, target))
        or bool(new_names(answer, ours) or new_names(target, theirs))
        or is_reversed(answer, target)
        or (find_refusal(answer, asked) is not None) != (find_refusal(target, asked) is not None)
    )
