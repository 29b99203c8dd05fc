"""How surely an answer is a refusal: 0 to 1, from its first sentences and from how much comes after them.

    score = weight of the clearest phrase x what little follows it x whether the prompt wanted that very text

A phrase counts for less inside quotation marks, as somebody's line in a story, in verse, in the voice of a business, and where
the prompt asks for a text that declines. What is left decides: one sentence of regret before a page of answer is an opening
(openings.py), not a refusal.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from distil.refusals import english
from distil.refusals.languages import LANGUAGES, Language
from distil.text import one_line

REFUSED = 0.5
"""From this score an answer counts as a refusal."""
HEAD = 1_600
"""Characters that are looked at: refusals come at the start."""
CUED = 450
"""Characters that are searched for words without which there is no phrase; the same for all who ask, so that one search does."""
FIRST = 300
"""Characters within which the phrase must begin."""
SHORT, LONG = 220, 640
"""Characters beside the phrase: up to the first the weight is whole, from the second it is nothing."""
ANSWERED = 90
"""Characters before the phrase from which something was said already."""
PATIENCE = 2
"""A clear refusal may go on for so many times longer, where no list follows and nothing says `However, here is ...`."""
DENSE = 2.5
"""Characters of other scripts that one Chinese, Japanese or Korean character stands for."""
_STRONG, _SELF, _WEAK = 1.0, 0.6, 0.42
_LACKS, _PREFIX = 0.4, 0.25
_BACKED = 0.85  # a weak phrase beside an apology, a self-description or an offer
_QUOTED, _BUSINESS, _DELIVERED, _VERSE = 0.4, 0.45, 0.6, 0.4
_ABOUT_ITSELF = 0.6  # a self-description that was asked for

_MARKS = str.maketrans(
    dict.fromkeys("‘’‚‛ʼ′´`", "'") | dict.fromkeys("“”„‟«»″「」『』", '"') | {"\u00a0": " ", "\u202f": " "}
)
_ALL_CUES = [(language, language.cues) for language in LANGUAGES.values()]
_ASCII_CUES = [
    (language, cues) for language, all_ in _ALL_CUES if (cues := tuple(cue for cue in all_ if cue.isascii()))
]
_ANY_CUE = tuple(dict.fromkeys((*english.CUES, *(cue for _, cues in _ALL_CUES for cue in cues))))
_ANY_ASCII_CUE = tuple(cue for cue in _ANY_CUE if cue.isascii())
_SENTENCE = re.compile(
    r"(?:[^.!?。！？؟।\n]|[.!?](?=[^\s\"')\]*_.!?])|(?<=[\s.(][a-z])\.(?=\s)|(?<=\b[dm][rs])\."
    r"|(?<=\bvs)\.)+(?:[.!?。！？؟।]+[\"')\]*_]*|\n+|$)"
)
_QUOTE = re.compile(r"\"[^\"\n]{0,400}(?:\"|$)|^>.*$", re.MULTILINE)
_TURNS = re.compile(r"\b(?:however|but|that said|nevertheless|nonetheless)\b")
_LIST = re.compile(r"^\s*(?:[-*•]|\d+[.)])\s|```", re.MULTILINE)
_SPEAKER = re.compile(r"^\W*(?!answer|response|reply|assistant|ai|output|note)[a-z][\w .'-]{0,24}:\s", re.IGNORECASE)
_CJK = re.compile(r"[\u1100-\u11ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_ASKS_TO_DECLINE = re.compile(
    r"\b(?:write|draft|compose|e-?mail|letter|reply|respond|response|message|translat\w+|paraphrase|rewrite|rephrase"
    r"|script|dialogue|say)\b"
    r".{0,100}\b(?:declin\w+|refus\w+|reject\w*|turn(?:s|ing)? (?:\w+ )?down|say(?:s|ing)? no|unable to|can(?:no|')t"
    r"|apolog\w+|regret\w*)\b",
    re.DOTALL,
)
_TOLD_TO_DECLINE = re.compile(
    r"\b(?:declin\w+|refus\w+|(?:do not|don't|never|cannot|can't|must not|should not) (?:\w+ ){0,3}(?:answer|discuss"
    r"|give|provide|reveal|help|offer|talk|share|engage)"
    r"|only (?:answer|help|discuss|respond|assist)|(?:say|tell|state|reply|respond|answer)\b.{0,40}\b(?:can't|cannot"
    r"|can not|unable|not able|don't know|do not know)"
    r"|not (?:allowed|permitted) to|out of scope|off[- ]topic|unrelated)\b"
)
_ABOUT_MODEL = re.compile(
    r"\bcall you\b|\b(?:are|do|have|did|were) you\b|\b(?:can|could|will|would) you\b(?! (?:please )?(?:give|provide"
    r"|tell|list|write an?\b|explain"
    r"|describe|help|make|create|show|find|suggest|recommend|summari[sz]e|translate|generate|extract))|\b(?:you"
    r"|your)\b.{0,40}\b(?:think|feel|work|made|trained|name|opinion|date|capable|thinking)"
    r"|\byour (?:name|creator|model|training|opinion|thoughts|favou?rite|process)\b|\bchatgpt\b|\blanguage models?\b"
)


_DENIES = re.compile(
    r"\b(?:not|cannot|unable|never|no|nor|without|designed|programmed|here to|only|purpose|limited|beyond|must)\b|n't\b"
)


class Refusal(NamedTuple):
    """How surely an answer declines, and by which words."""

    score: float
    """0 to 1."""
    phrase: str
    """The words of the answer, at most 80 characters."""


class Sentence(NamedTuple):
    """One sentence of an answer and what kind it is."""

    start: int
    """Where it begins in the text."""
    end: int
    """Where the next one begins."""
    weight: float
    """Of the phrase that declines or speaks of the model in it; 0 = none."""
    phrase: str
    """That phrase."""
    of_itself: bool
    """Whether the phrase is about the model rather than the request."""
    offer: bool
    """Whether it offers a way out instead of an answer."""
    sermon: bool = False
    """Whether it lectures: empty beside a phrase that declines, and what an answer may say without one."""


def find_refusal(text: str, asked: str = "", told: str = "") -> str | None:
    """The phrase by which an answer declines, or None. asked, told: as for `weigh_refusal`."""
    found = weigh_refusal(text, asked, told)
    return found.phrase if found is not None and found.score >= REFUSED else None


def weigh_refusal(text: str, asked: str = "", told: str = "") -> Refusal | None:
    """How surely the answer declines, or speaks of itself as a model instead of answering; None = no sign of it.

    asked: the last turn of the prompt; told: its system message. Without them the answer alone is judged.
    """
    folded = fold(text[:HEAD])
    if not has_cue(folded[:CUED]) or not has_cue(folded[: FIRST + 100]):
        return None
    plain = without_quotes(folded)
    quoted = plain.strip(" .\n:") == "" or (len(plain.strip()) < 40 and len(folded.strip()) > 60)
    reading = read_sentences(folded if quoted else plain)
    sentences: list[Sentence] = []
    for sentence in reading:
        sentences.append(sentence)
        if sentence.start > FIRST:
            break
    clear = [s for s in sentences if s.weight and s.start <= FIRST]
    if not clear:
        return None
    sentences += reading
    best = max(clear, key=lambda s: s.weight)
    weight = _backed(best, sentences, folded)
    weight *= _left_over(text, folded, sentences, best)
    weight *= _delivered(folded, sentences, best)
    if sum(s.end - s.start for s in sentences if s.end <= best.start and not (s.weight or s.offer)) > ANSWERED:
        weight *= _DELIVERED
    if quoted:
        weight *= _QUOTED
    if not best.of_itself and english.COMPANY.search(folded):
        weight *= _BUSINESS
    if _is_verse(text):
        weight *= _VERSE
    weight *= _wanted(best, fold(asked[-4_000:]), fold(told[:4_000]))
    phrase = text[best.start + folded[best.start : best.end].find(best.phrase) :][: len(best.phrase)]
    return Refusal(round(min(weight, 1.0), 3), one_line(phrase, 80))


@lru_cache(maxsize=16)
def fold(text: str) -> str:
    """Lower case and straight quotes, of the same length as the text: positions in one are positions in the other."""
    if text.isascii():
        return text.replace("`", "'").lower()  # the same, five times as fast
    folded = text.translate(_MARKS).lower()
    return (
        folded
        if len(folded) == len(text)
        else "".join(c if len(c.lower()) != 1 else c.lower() for c in text.translate(_MARKS))
    )


def without_quotes(folded: str) -> str:
    """Blanks in place of what is in quotation marks or after `>`; positions stay."""
    return _QUOTE.sub(lambda match: " " * len(match[0]), folded)


def about_itself(asked: str) -> bool:
    """Whether a prompt asks the model about itself."""
    return bool(asked) and _ABOUT_MODEL.search(fold(asked)) is not None


@lru_cache(maxsize=16)
def has_cue(folded: str) -> bool:
    """Whether any word is there without which no phrase can be; for speed. Three signals ask it about one text."""
    return any(map(folded.__contains__, _ANY_ASCII_CUE if folded.isascii() else _ANY_CUE))


def languages_in(folded: str) -> list[Language]:
    """The other languages that a text may be in."""
    known = _ASCII_CUES if folded.isascii() else _ALL_CUES
    return [language for language, cues in known if any(map(folded.__contains__, cues))]


def read_sentences(folded: str) -> Iterator[Sentence]:
    """The sentences of a folded text, each with its kind."""
    patterns = languages_in(folded)
    for match in _SENTENCE.finditer(folded):
        sentence = match[0]
        if _SPEAKER.match(sentence) or english.TOLD.search(sentence):
            yield Sentence(match.start(), match.end(), 0.0, "", False, False)
            continue
        weight, phrase, of_itself = 0.0, "", False
        tests = [
            (english.DECLINE, _STRONG, False),
            (english.SORRY_BUT, _STRONG, False),
            (english.SELF, _SELF, True),
            (english.WEAK, _WEAK, False),
            (english.LACKS, _LACKS, False),
            (english.PREACHES, _LACKS, False),
        ]
        tests += [(language.decline, _STRONG, False) for language in patterns]
        tests += [(language.speaks_of_itself, _SELF, True) for language in patterns]
        for pattern, value, itself in tests:
            found = pattern.search(sentence)
            if found is not None and itself and _only_a_prefix(sentence, found):
                value = _PREFIX
            if found is not None and value > weight:
                weight, phrase, of_itself = value, found[0].strip(), itself
        if not weight and english.APOLOGY.search(sentence) and (bare := english.BARE.search(sentence.strip())):
            weight, phrase = _STRONG, bare[0].strip(" ,;.!")
        offer, sermon = english.OFFER.search(sentence) is not None, english.LECTURE.search(sentence) is not None
        yield Sentence(match.start(), match.end(), weight, phrase, of_itself, offer, sermon)


def _only_a_prefix(sentence: str, found: re.Match[str]) -> bool:
    """`As an AI language model, I think that ...`: a statement follows, and nothing in it is denied."""
    return found[0].startswith("as a") and not _DENIES.search(sentence[found.end() :])


def _backed(best: Sentence, sentences: list[Sentence], folded: str) -> float:
    """The weight of the clearest phrase, more for a weak one with something else near it."""
    if best.weight != _WEAK:
        return best.weight
    near = folded[: best.end + 200]
    others = [s for s in sentences if s is not best and s.weight > _WEAK and s.start < best.end + 200]
    regrets = english.APOLOGY.search(near[: best.end]) is not None
    return _BACKED if others or regrets or any(s.offer for s in sentences if s.start >= best.end) else best.weight


def _left_over(text: str, folded: str, sentences: list[Sentence], best: Sentence) -> float:
    """1 where nothing but regret, self-description and offers is said, 0 where an answer of some length is."""
    declined = best.weight >= _STRONG
    idle = sum(s.end - s.start for s in sentences if s.weight or s.offer or (declined and s.sermon))
    rest = len(text.rstrip()) - idle
    if best.end - best.start > 400:
        rest += best.end - best.start - 400
    if _CJK.search(folded):
        rest = round(rest * DENSE)
    if declined and not english.DELIVERS.search(folded[best.start :]) and not _LIST.search(text):
        rest = round(rest / PATIENCE)
    return min(1.0, max(0.0, (LONG - rest) / (LONG - SHORT)))


def _delivered(folded: str, sentences: list[Sentence], best: Sentence) -> float:
    """Less where the answer goes on with `However, here is ...` and text follows."""
    after = folded[best.start :]
    rest = sum(s.end - s.start for s in sentences if s.start > best.start and not s.weight and not s.offer)
    if best.of_itself and rest >= SHORT / 4 and _TURNS.search(after):
        return _DELIVERED
    return _DELIVERED if rest >= SHORT / 2 and english.DELIVERS.search(after) else 1.0


def _wanted(best: Sentence, asked: str, told: str) -> float:
    """Less where the prompt asks for a text that declines, brings one itself, or asks the model about itself."""
    if best.of_itself:
        return _ABOUT_ITSELF if about_itself(asked) else 1.0
    if _ASKS_TO_DECLINE.search(asked) or _declines(asked):
        return _QUOTED
    return _BUSINESS if told and _TOLD_TO_DECLINE.search(told) else 1.0


def _declines(asked: str) -> bool:
    """Whether the prompt itself has a refusal in it, such as one to translate or to classify."""
    if not has_cue(asked):
        return False
    return english.DECLINE.search(asked) is not None or any(
        language.decline.search(asked) for language in LANGUAGES.values() if any(cue in asked for cue in language.cues)
    )


def _is_verse(text: str) -> bool:
    """Several short lines, most without a full stop: a poem or a song."""
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    open_ended = sum(len(line) < 60 and line[-1] not in ".:;|" and line[0] not in "-*•|#0123456789" for line in lines)
    return len(lines) >= 4 and open_ended >= 0.7 * len(lines)
