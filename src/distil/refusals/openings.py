"""Openings that say nothing before an answer that does: `As an AI language model, I have no opinions. However, ...`.

Only where the model speaks of itself, and only where an answer follows: what is left must make sense alone. Not for refusals.
"""

from __future__ import annotations

import re
from functools import lru_cache

from distil.refusals import english
from distil.refusals.languages import LANGUAGES
from distil.refusals.score import CUED, HEAD, about_itself, fold, has_cue, read_sentences

ENOUGH = 60
"""Characters that must be left for an opening to go."""
MAX_OPENING = CUED
"""Longer openings are answers."""
_PREFIX = re.compile(
    r"\s*(?:(?:well|hello|hi|sorry|i'm sorry|i am sorry|i apologize"
    r"|unfortunately)[,.!]?(?: but)? )?as an? [^,.;:\n]{2,70}?(?P<comma>[,;]| i\b)"
)
_CONNECTOR = re.compile(
    r"\s*(?:(?:however|but|that said|that being said|with that said|nevertheless|nonetheless|having said that|instead"
    r"|still|yet)\b[,:;]?\s*)+"
)
_TURN = re.compile(r"[;,:.]\s*(?:however|but|that said|nevertheless|nonetheless|yet)\b,?\s+")
_EMPTY_TURN = re.compile(
    r"(?:i(?:'m| am| can| could| will|'ll|'d| would)? ?(?:be )?(?:still |certainly |definitely |gladly |happy to "
    r"|glad to |here to |able to |try to |do my best to )*"
    r"(?:can |could )?(?:provide|offer|give|share|help|assist|tell|suggest)\b[^.!?\n]{0,90})[.!:]\s*"
)
_DENIES = re.compile(r"\b(?:not|cannot|unable|never|no|nor|without)\b|n't\b")
_INTRODUCES = re.compile(r"\s*(?:(?:hello|hi|greetings)[!,.]? )?i(?:'m| am) (?:just |only )?(?:an? |claude|chatgpt)")
_DENIES_OF_I = re.compile(r"i(?:'m| am)?(?: \w+)? ?(?:not|cannot|can't|don't|do not|am unable)\b")
_COMMA = re.compile(r"[^,，、.!?。\n]{0,60}[,，、]\s*")


def opening_of(text: str, asked: str = "") -> str | None:
    """The opening without which the answer makes sense alone, or None.

    asked: the last turn of the prompt. Where it asks the model about itself, only the words `As an AI,` are an opening.
    """
    end = _opening_end(text, asked)
    return text[:end] if end else None


def without_opening(text: str, asked: str = "") -> str:
    """The answer without its empty opening, its first letter a capital; the text itself where there is none."""
    end = _opening_end(text, asked)
    return text[end : end + 1].upper() + text[end + 1 :] if end else text


@lru_cache(maxsize=16)
def _opening_end(text: str, asked: str) -> int:
    """Where the answer begins; 0 = at once."""
    folded = fold(text[:HEAD])
    if not has_cue(folded[:CUED]):
        return 0
    about = about_itself(asked)
    sentences = (s for s in read_sentences(folded) if folded[s.start : s.end].strip())
    end = 0
    for place, sentence in enumerate(sentences):
        words = folded[sentence.start : sentence.end]
        cut = _prefix(words) if about else _sentence_cut(words, first=place == 0)
        if cut:
            end = sentence.start + cut
        if cut < len(words):
            break
    end += _connector(folded[end:]) if end else 0
    if not end or end > MAX_OPENING or len(text.strip()) - end < ENOUGH or not text[end:].strip():
        return 0
    return end


def _sentence_cut(words: str, *, first: bool) -> int:
    """How many characters of this sentence belong to the opening: all, those of its first clause, or none."""
    spoken = english.SELF.search(words)
    declines = english.DECLINE.search(words) or english.WEAK.search(words)
    if spoken is None and (first or declines is None):
        return _prefix(words)
    clear = spoken or declines
    turn = _TURN.search(words, clear.end() if clear else 0)
    if turn is not None and _worth(words[turn.end() :]):
        return turn.end()
    introduced = spoken is not None and _INTRODUCES.match(words) is not None
    return len(words) if declines or introduced or _DENIES.search(words) else _prefix(words)


def _prefix(words: str) -> int:
    """Characters of `As an AI language model,` in any language, the comma included; 0 = there is none."""
    found = _PREFIX.match(words)
    if found is not None and english.SELF.search(found[0] + " "):
        return found.end("comma") - (2 if found["comma"] == " i" else 0)
    for language in LANGUAGES.values():
        itself = language.speaks_of_itself.search(words[:80]) if any(cue in words for cue in language.cues) else None
        if itself is not None and itself.start() <= 3 and (comma := _COMMA.match(words, itself.end())) is not None:
            return comma.end()
    return 0


def _worth(clause: str) -> bool:
    """Whether the clause after `but` answers: it says more than that something can be said, and denies nothing of the model."""
    said = clause.strip() + " "
    if english.SELF.search(said) or english.DECLINE.search(said) or _DENIES_OF_I.match(said):
        return False
    return len(said) > 12 and _EMPTY_TURN.fullmatch(said) is None


def _connector(rest: str) -> int:
    """Characters of blanks and of `However,` at the start of the rest."""
    blanks = len(rest) - len(rest.lstrip())
    found = _CONNECTOR.match(rest)
    return max(blanks, found.end() if found else 0)
