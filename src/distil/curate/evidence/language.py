"""Signals of the language an answer is written in, against its prompt's."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from distil.curate.evidence.corpus import Corpus, Pair
from distil.curate.evidence.found import Found
from distil.curate.evidence.languages import NAMES, language_of, speaks
from distil.curate.evidence.scripts import same_script, script_of
from distil.records import Answer, Prompt

USUAL_SCRIPT_SHARE = 0.95  # from this share of answers in their prompt's script, another script is a fault
USUAL_LANGUAGE_SHARE = 0.9  # the same for languages, which are told apart less surely
SAMPLE = 1_000  # prompts from which the usual language is read
MIN_CLEAR = 5  # pairs of clear prose without which there is nothing usual
_TRANSLATES = re.compile(
    r"translat|traduc|traduz|tradui|übersetz|vertaal|tłumacz|перев[оё]д|翻译|翻譯|翻訳|번역|ترجم|(?:another|second|foreign"
    r"|other) language"
)


def script(prompt: Prompt, answer: Answer, corpus: Corpus) -> Found | None:
    """Another script than the prompt's. Silent in tasks where that is normal, such as translation."""
    if corpus.same_script_share < USUAL_SCRIPT_SHARE or same_script(prompt, answer) is not False:
        return None
    return Found(1, f"answered in {script_of(answer.text)} letters, asked in {script_of(prompt.messages[-1].text)}")


def language(pairs: Sequence[Pair], corpus: Corpus) -> list[Found | None]:
    """Another language than the prompt's, where nearly all answers are in theirs and the prompt does not name that language.

    Both must be clear prose (languages.py); a prompt that is too short for that counts as written in the usual language.
    """
    usual = _usual_language(pairs)
    asked: dict[int, str | None] = {}
    answered: dict[int, str | None] = {}
    for at, pair in enumerate(pairs):
        if usual is None or not speaks(pair.answer.text, usual):
            asked[at] = language_of(pair.prompt.messages[-1].text) or usual
            answered[at] = language_of(pair.answer.text)
    clear = [at for at in asked if asked[at] and answered[at]]
    other = [at for at in clear if asked[at] != answered[at]]
    found: list[Found | None] = [None] * len(pairs)
    same = len(clear) - len(other) + (len(pairs) - len(asked) if usual else 0)
    if same < MIN_CLEAR or same < USUAL_LANGUAGE_SHARE * (same + len(other)):
        return found
    for at in other:
        if not _is_named(pairs[at], str(answered[at])):
            found[at] = Found(1, f"answered in {_name(answered[at])}, asked in {_name(asked[at])}")
    return found


def other_languages(pairs: Sequence[Pair]) -> tuple[int, list[tuple[int, str]]]:
    """(pairs of clear prose, those of them in another language or script than their prompt, with words about it).

    Unlike the signals it does not ask what is usual in the data; a prompt that names the language, or brings text in it, is none.
    """
    compared, other = 0, []
    usual = _usual_language(pairs)
    for at, pair in enumerate(pairs):
        asked, answered = language_of(pair.prompt.messages[-1].text) or usual, language_of(pair.answer.text)
        same_letters = same_script(pair.prompt, pair.answer)
        if same_letters is None and not (asked and answered):
            continue
        compared += 1
        if asked and answered and asked != answered and not _is_named(pair, answered):
            other.append((at, f"answered in {_name(answered)}, asked in {_name(asked)}"))
        elif same_letters is False and not _TRANSLATES.search(_said(pair)):
            letters = f"{script_of(pair.answer.text)} letters, asked in {script_of(pair.prompt.messages[-1].text)}"
            other.append((at, f"answered in {letters}"))
    return compared, other


def _said(pair: Pair) -> str:
    return "\n".join(message.text for message in pair.prompt.messages).lower()[:20_000]


def _usual_language(pairs: Sequence[Pair]) -> str | None:
    """That of nearly all prompts, from a sample of them; None where there are several."""
    step = max(1, len(pairs) // SAMPLE)
    codes = Counter(filter(None, (language_of(pair.prompt.messages[-1].text) for pair in pairs[::step])))
    code, times = codes.most_common(1)[0] if codes else ("", 0)
    return code if times and times >= USUAL_LANGUAGE_SHARE * codes.total() else None


def _is_named(pair: Pair, code: str) -> bool:
    """Whether the prompt names the language, asks for a translation, or brings text in it."""
    said = _said(pair)
    if any(name in said for name in NAMES.get(code, ())) or _TRANSLATES.search(said):
        return True
    return any(language_of(part) == code for part in re.split(r"\n+|(?<=[.!?:])\s+", said)[:40])


def _name(code: str | None) -> str:
    return NAMES[code][0].capitalize() if code else "another language"
