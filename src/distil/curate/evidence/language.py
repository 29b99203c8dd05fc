"""Signals of the language an answer is written in, against its prompt's."""

from __future__ import annotations

from distil.curate.evidence.corpus import Corpus
from distil.curate.evidence.found import Found
from distil.curate.evidence.scripts import same_script, script_of
from distil.records import Answer, Prompt

USUAL_SCRIPT_SHARE = 0.95  # from this share of answers in their prompt's script, another script is a fault


def script(prompt: Prompt, answer: Answer, corpus: Corpus) -> Found | None:
    """Another script than the prompt's. Silent in tasks where that is normal, such as translation."""
    if corpus.same_script_share < USUAL_SCRIPT_SHARE or same_script(prompt, answer) is not False:
        return None
    return Found(1, f"answered in {script_of(answer.text)} letters, asked in {script_of(prompt.messages[-1].text)}")
