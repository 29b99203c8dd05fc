"""What rows share: the links by which a split keeps them together.

- text: the same question, whatever case, blanks and a system turn that is the same for many rows;
- group: the user's;
- document: system turns that differ by row (a text to answer from), so that a document is on one side;
- prefix: the requests of one conversation, each of which repeats the turns before it;
- exchange, answer: a turn that one row teaches and another one has (a conversation whose log keeps only the last turns);
- written: a prompt that a teacher wrote, and the user's prompt that it descends from.

Many conversations contain "Hello!" and "You're welcome.", which must not glue them together. So a piece of a conversation counts
only while few conversations have it, and the longer it is, the more may have it: `_most`. What follows on the same opening is
one conversation, however many requests it was logged as.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from distil.curate.shingles import shingles, text_key
from distil.curate.split.components import Item, Link
from distil.curate.split.templates import without_shared
from distil.records import Answer, Message, Prompt
from distil.text import calls_key, conversation_text, instructions, normalize, parse_answer, spoken_turns

SHORT, LONG = 40, 200
"""Characters of a stock phrase at most, and of a text at least that hardly anybody writes twice."""
FEW, SOME = 3, 20
"""Conversations that may share a piece by chance, and those that may repeat one exchange: as many windows of a log show it."""
MANY_SHARE = 0.2
"""Share of the conversations that may share a long piece (a document, say): with more it is stock."""
DOCUMENTS = 5
"""System turns that must differ before they count as documents."""
DOCUMENT_SHINGLES = 60
"""Length of the part of a system turn that must differ, in character 5-grams: more than a name and a date."""


class Row(NamedTuple):
    """A prompt with the answers that will be trained on or tested against."""

    prompt: Prompt
    answers: Sequence[Answer]


class _Piece(NamedTuple):
    """A part of a conversation that others may have, too."""

    link: Link
    length: int
    """Characters."""


class _Talk(NamedTuple):
    """A row as a conversation."""

    key: str
    """Equal for equal questions with equal turns before them."""
    whole: _Piece
    """The question with everything before it."""
    openings: list[_Piece]
    """Each earlier question with everything before it."""
    turns: list[_Piece]
    """Its assistant turns, with the question before them and alone."""
    taught: set[Link]
    """Those of them that a student would learn."""

    def questions(self) -> Iterator[tuple[Link, Link]]:
        """(answer, the exchange that it is part of) for each assistant turn that counts alone."""
        return ((turn.link, before.link) for before, turn in pairwise(self.turns) if turn.link[0] == "answer")


def make_items(rows: Sequence[Row], parents: Mapping[str, str]) -> list[Item]:
    """One item for each row. parents: written prompt -> the user's prompt that it descends from."""
    documents = document_keys([row.prompt for row in rows])
    talks = [_talk(row) for row in rows]
    earlier = {piece.link for talk in talks for piece in talk.openings}
    whole = [talk.whole.link not in earlier for talk in talks]  # no other request goes on from it
    stands = Counter[Link]()
    for talk, last in zip(talks, whole, strict=True):
        if last:
            stands.update({piece.link for piece in (*talk.openings, talk.whole, *talk.turns)})
    # an answer is what it is to all the questions that it was given to, the openings of conversations among them
    stands |= Counter(answer for answer, _ in {pair for talk in talks for pair in talk.questions()})
    taught = {link for talk in talks for link in talk.taught}
    conversations = sum(whole)
    roots = set(parents.values())
    items = []
    for row, talk in zip(rows, talks, strict=True):
        prompt = row.prompt
        links = _prompt_links(prompt, talk.key, documents.get(prompt.id), parents.get(prompt.id), roots)
        openings = [*talk.openings, *([talk.whole] if talk.whole.link in earlier else [])]
        pieces = [*openings, *(piece for piece in talk.turns if piece.link in taught)]
        links += [p.link for p in pieces if stands[p.link] <= _most(p, conversations)]
        train_only = None
        if prompt.id in parents:
            train_only = "a teacher wrote it, and it was held out before: written prompts are only trained on"
        elif talk.whole.link in earlier and talk.whole.link not in links:
            train_only = (
                f"{stands[talk.whole.link]:,} conversations begin with it, and train has its answer in some of them"
            )
        fixed = None if prompt.id in parents else prompt.split
        items.append(Item(prompt.id, tuple(dict.fromkeys(links)), fixed, train_only))
    return items


def document_keys(prompts: Sequence[Prompt]) -> dict[str, str]:
    """Prompt id -> key of its document: of a system turn that few rows have, and that differs from the others by a whole text.

    A system turn with the user's name and today's date is none, nor one of a handful of instructions that are tried out.
    """
    texts = {prompt.id: instructions(prompt.messages) for prompt in prompts}
    counts = Counter(text for text in texts.values() if text.strip())
    rare = [text for text, count in counts.items() if count <= max(DOCUMENTS, MANY_SHARE * len(prompts))]
    if len(rare) < DOCUMENTS:
        return {}
    differing = without_shared([shingles(text) for text in rare])
    documents = {
        text: text_key(text) for text, own in zip(rare, differing, strict=True) if own.size >= DOCUMENT_SHINGLES
    }
    if len(documents) < DOCUMENTS:
        return {}
    return {prompt_id: documents[text] for prompt_id, text in texts.items() if text in documents}


def question_keys(prompts: Sequence[Prompt]) -> dict[str, str]:
    """Prompt id -> a key that is equal for the same question, as the split tells questions apart.

    Case, blanks and a system turn that is the same for many rows do not count; a document in the system turn does.
    """
    documents = document_keys(prompts)
    return {prompt.id: _question(_talk(Row(prompt, ())).key, documents.get(prompt.id)) for prompt in prompts}


def _question(key: str, document: str | None) -> str:
    return f"{document} {key}" if document else key


def compared_text(prompt: Prompt, documents: Mapping[str, str]) -> str:
    """The text by which a prompt resembles others: its turns, with the system turn where that is a document."""
    spoken = conversation_text(prompt.messages)
    return f"{instructions(prompt.messages)}\n{spoken}" if prompt.id in documents else spoken


def _prompt_links(prompt: Prompt, key: str, document: str | None, root: str | None, roots: set[str]) -> list[Link]:
    links: list[Link] = [("text", _question(key, document))]
    if document:
        links.append(("document", document))
    if prompt.group is not None:
        links.append(("group", prompt.group))
    if root is not None or prompt.id in roots:
        links.append(("written", root or prompt.id))
    return links


def _most(piece: _Piece, conversations: int) -> int:
    """In how many conversations a piece may stand and still keep them together."""
    kind, length = piece.link[0], piece.length
    if kind == "answer":  # alone, it is as often what a support desk says to many
        return FEW
    if length >= LONG:
        return min(max(SOME, int(MANY_SHARE * conversations)), max(FEW, conversations // 2))
    if kind == "prefix":
        return FEW if length >= SHORT else 1
    return SOME if length >= SHORT else FEW if length >= SHORT // 2 else 0


def _talk(row: Row) -> _Talk:
    texts = [(turn, _text(turn)) for turn in spoken_turns(row.prompt.messages)]
    digest, length = hashlib.blake2b(digest_size=12), 0
    openings: list[_Piece] = []
    pieces: list[_Piece] = []
    taught: set[Link] = set()
    question = ""
    for turn, text in texts:
        if turn.role == "assistant":
            openings.append(_Piece(("prefix", digest.hexdigest()), length))
            _add(pieces, taught, question, text, learned=turn.weight != 0)
        else:
            question = text
        digest.update(text.encode("utf-8", "surrogatepass") + b"\0")
        length += len(text)
    for answer in row.answers:
        said = normalize(answer.text) + (calls_key(answer.tool_calls) if answer.tool_calls else "")
        _add(pieces, taught, question, said, learned=True)
    whole = _Piece(("prefix", digest.hexdigest()), length)
    return _Talk(_key(" ".join(text for _, text in texts if text)), whole, openings, pieces, taught)


def _add(pieces: list[_Piece], taught: set[Link], question: str, said: str, *, learned: bool) -> None:
    """An assistant turn as pieces: with its question; alone, unless it is data (a label or JSON is the answer to many)."""
    added = [_Piece(("exchange", _key(f"{question}\0{said}")), len(question) + len(said))]
    if len(said) >= SHORT and parse_answer(said) is None:
        added.append(_Piece(("answer", _key(said)), len(said)))
    pieces += added
    if learned:
        taught.update(piece.link for piece in added)


def _key(normalized: str) -> str:
    return hashlib.blake2b(normalized.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


def _text(turn: Message) -> str:
    """A turn as it is compared: its text, its tool calls, and what else it shows (images)."""
    text = normalize(turn.text)
    if turn.tool_calls:
        text += calls_key(turn.tool_calls)
    if isinstance(turn.content, list):
        others = [part for part in turn.content if "text" not in part]
        text += json.dumps(others, sort_keys=True) if others else ""
    return text
