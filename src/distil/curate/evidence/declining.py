"""Signals of answers that decline, open with nothing, or name their vendor. What those are: distil/refusals."""

from __future__ import annotations

from distil.curate.evidence.corpus import Corpus, Pair
from distil.curate.evidence.found import Found
from distil.endings import ending
from distil.records import Answer, Prompt
from distil.refusals.identity import vendor_identity as find_identity
from distil.refusals.openings import opening_of, without_opening
from distil.refusals.score import REFUSED, weigh_refusal
from distil.text import instructions, one_line


def refusal(prompt: Prompt, answer: Answer, corpus: Corpus) -> Found | None:
    """How surely the model declines, or speaks of itself instead of answering; 1 where the provider says that it refused."""
    if ending(answer.finish_reason) == "refused":
        return Found(1, f"refused by the provider (finish_reason {answer.finish_reason})")
    found = weigh_refusal(answer.text, _asked(prompt), instructions(prompt.messages))
    return None if found is None or found.score == 0 else Found(found.score, f"refusal: “{found.phrase}”")


def boilerplate(prompt: Prompt, answer: Answer, corpus: Corpus) -> Found | None:
    """Characters of an opening that says nothing, before an answer that is not a refusal."""
    opening = opening_of(answer.text, _asked(prompt))
    if opening is None:
        return None
    declined = weigh_refusal(answer.text, _asked(prompt), instructions(prompt.messages))
    if declined is not None and declined.score >= REFUSED:
        return None
    return Found(len(opening), f"opens with “{one_line(opening, 80)}”")


def strip_opening(pair: Pair) -> Pair:
    """The pair with an answer that begins where it begins to answer."""
    text = without_opening(pair.answer.text, _asked(pair.prompt))
    return pair._replace(answer=pair.answer.model_copy(update={"text": text}))


def vendor_identity(prompt: Prompt, answer: Answer, corpus: Corpus) -> Found | None:
    """How surely the answer, without its opening, names the model or vendor that it comes from."""
    asked = _asked(prompt)
    found = find_identity(without_opening(answer.text, asked), asked, instructions(prompt.messages))
    return None if found is None else Found(found.score, f"names its vendor: “{found.phrase}”")


def _asked(prompt: Prompt) -> str:
    return prompt.messages[-1].text
