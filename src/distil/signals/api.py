"""A cache from what an API said beside its answers: `top_logprobs` out of the ledger become top_k rows with a tail.

Sends nothing and costs nothing. It works where the teacher's tokens are the student's (an open model behind a server): a reply
whose tokens are not exactly the answer's token ids keeps only its hard labels, and is counted.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from distil.calls.ledger.store import Ledger
from distil.calls.providers.chat import ChatProvider
from distil.calls.providers.google import GoogleProvider
from distil.errors import UserError
from distil.models.config import StudentConfig
from distil.models.fingerprint import template_fingerprint, tokenizer_fingerprint
from distil.models.load import load_tokenizer
from distil.models.student_prompt import show_whole_prompt
from distil.models.template import student_template
from distil.models.token_bytes import bytes_of_ids, ids_of_bytes
from distil.progress import track
from distil.records import Answer
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_records
from distil.runs.signals.codec import SparseRows, encode
from distil.runs.signals.shards import ShardWriter
from distil.runs.signals.spec import SignalSpec
from distil.signals.config import SignalsConfig
from distil.signals.examples import BuildCounts, TokenizedExample, curated, not_stored, tokenize

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

MAX_ALTERNATIVES = 21
"""20, and the token that was drawn where it is not among them."""
HARD_LOG_PROB = 0.0
MIN_TAIL_MASS = 1e-9
"""A reply's rounded log-probabilities may sum to a little over 1; the tail is then taken as this."""

TokenLogprob = Mapping[str, Any]
"""An entry of OpenAI's `logprobs.content`: token, bytes, logprob, top_logprobs."""


class Alternatives(NamedTuple):
    """What an API reports for one token of its answer."""

    token: bytes
    """The token that it drew."""
    log_probs: dict[bytes, float]
    """Token bytes -> natural log-probability; the drawn token is among them."""


class ReplyCounts:
    """How many replies and tokens could be used."""

    def __init__(self) -> None:
        self.aligned = self.without = self.other_tokens = 0
        self.soft_rows = self.hard_rows = self.unknown = 0

    def notes(self) -> dict[str, int]:
        """Plain numbers for manifest and table."""
        return {
            "replies_with_alternatives": self.aligned,
            "replies_without_logprobs": self.without,
            "replies_in_other_tokens": self.other_tokens,
            "soft_tokens": self.soft_rows,
            "hard_tokens": self.hard_rows,
            "alternatives_moved_to_the_tail": self.unknown,
        }


def build_from_answers(
    project: Project, section: SignalsConfig, teacher: str, student: StudentConfig | None
) -> BuildCounts:
    """Writes a top_k cache at temperature 1 for the curated examples that `teacher` answered.

    Rows without alternatives (the end-of-turn token, and every token of a reply whose tokens differ) are certain of the token
    that is there: plain hard labels. Raises UserError when no reply at all can be used.
    """
    if section.kind != "top_k":
        raise UserError(
            f"signals.kind is {section.kind}, and {teacher} is behind an API that gives its best tokens only. Set signals.kind: "
            "top_k, or use a teacher that runs here (a folder or a hub id)."
        )
    if student is None:
        raise UserError("A cache from an API's log-probabilities needs the student's tokenizer. Set student.model.")
    tokenizer = load_tokenizer(student.model, student_template(student, project))
    one_answer = show_whole_prompt(tokenizer)
    examples = curated(project, section.splits)
    tokenized, too_long = tokenize(tokenizer, examples, section.max_length, one_answer=one_answer)
    spec = SignalSpec(
        kind="top_k",
        teacher=teacher,
        revision="api",
        tokenizer=tokenizer_fingerprint(tokenizer),
        tokenizer_from=student.model,
        template=template_fingerprint(tokenizer),
        vocab_size=max(tokenizer.get_vocab().values()) + 1,
        temperatures=(1.0,),
        k=min(section.k or MAX_ALTERNATIVES, MAX_ALTERNATIVES),
        max_length=section.max_length,
    )
    missing, reused = not_stored(project.signals, spec, tokenized)
    calls = {a.id: a.call_id for a in read_records(project.answers, Answer) if a.teacher == teacher}
    answer_of = {example.id: example.answer_id for example in examples}
    counts = ReplyCounts()
    token_map = _TokenMap(tokenizer)
    waiting: list[tuple[TokenizedExample, bytes]] = []
    with Ledger(project.ledger) as ledger, ShardWriter(project.signals, "api", section.shard_mb * 2**20) as writer:
        for example in track(missing, "signals", unit="examples"):
            alternatives = logprobs_of(ledger, calls.get(answer_of.get(example.example_id) or ""))
            rows = rows_of(example, alternatives, token_map, spec.k, counts)
            waiting.append((example, encode(rows, spec.layout)))
            if counts.aligned or reused:  # nothing is stored before one reply was of use
                for stored, payload in waiting:
                    writer.add(stored.example_id, len(stored.positions), stored.token_hash, payload)
                waiting.clear()
    if waiting:
        raise UserError(_useless(counts, teacher))
    return BuildCounts(reused, too_long, counts.notes())


def logprobs_of(ledger: Ledger, call_id: str | None) -> list[Alternatives] | None:
    """What the raw reply of a call says of each token, or None where it says nothing."""
    if call_id is None:
        return None
    _, reply = ledger.body(call_id)
    content = _content(reply)
    return [_alternatives(entry) for entry in content] if content else None


def rows_of(
    example: TokenizedExample, reply: Sequence[Alternatives] | None, token_map: _TokenMap, k: int, counts: ReplyCounts
) -> SparseRows:
    """The rows of one example: soft where the reply's tokens are the answer's tokens, hard elsewhere."""
    labels = [example.token_ids[t + 1] for t in example.positions]
    start = last_turn(example.positions)
    soft: list[dict[int, float]] = []
    if reply is None:
        counts.without += 1
    elif [a.token for a in reply] != [token_map.bytes[i] for i in labels[start : start + len(reply)]]:
        counts.other_tokens += 1
    else:
        counts.aligned += 1
        soft = [_by_id(a, label, token_map, k, counts) for a, label in zip(reply, labels[start:], strict=False)]
    counts.soft_rows += len(soft)
    counts.hard_rows += len(labels) - len(soft)
    rows = [{label: HARD_LOG_PROB} for label in labels]
    rows[start : start + len(soft)] = soft
    return _as_rows(rows, range(start, start + len(soft)))


def last_turn(positions: Sequence[int]) -> int:
    """Where the last run of consecutive positions begins: earlier assistant turns are not what the reply is about."""
    return max((i for i in range(1, len(positions)) if positions[i] != positions[i - 1] + 1), default=0)


class _TokenMap:
    """Between a tokenizer's ids and the bytes they stand for."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self.bytes = bytes_of_ids(tokenizer, exact=True)
        self.ids = ids_of_bytes(self.bytes, set(tokenizer.all_special_ids))


def _by_id(
    alternatives: Alternatives, label: int, token_map: _TokenMap, k: int, counts: ReplyCounts
) -> dict[int, float]:
    """id -> log-probability of at most k alternatives, the drawn one always among them; what has no id goes to the tail."""
    found = {label: alternatives.log_probs[alternatives.token]}
    for token, log_prob in sorted(alternatives.log_probs.items(), key=lambda pair: -pair[1]):
        id_ = label if token == alternatives.token else token_map.ids.get(token)
        if id_ is None:
            counts.unknown += 1
        elif len(found) < k:
            found.setdefault(id_, log_prob)
    return found


def _as_rows(rows: Sequence[Mapping[int, float]], soft: range) -> SparseRows:
    width = max((len(row) for row in rows), default=1)
    ids = np.full((len(rows), width), -1, dtype=np.int64)
    values = np.zeros((len(rows), width), dtype=np.float32)
    odds = np.full((len(rows), 1), -np.inf, dtype=np.float32)
    entropy = np.zeros((len(rows), 1), dtype=np.float32)
    for r, row in enumerate(rows):
        largest = max(row.values())
        ids[r, : len(row)] = list(row)
        values[r, : len(row)] = [value - largest for value in row.values()]
        if r in soft:
            entropy[r] = np.nan  # of the whole vocabulary, which the API does not show
            mass = math.fsum(math.exp(value) for value in row.values())
            odds[r, 0] = math.log(max(1 - mass, MIN_TAIL_MASS)) - math.log(mass)
    return SparseRows(ids, values, entropy, odds)


def _content(reply: bytes) -> Sequence[TokenLogprob] | None:
    """`logprobs.content` of a raw reply in OpenAI's or Google's form, or of an answer that was recorded here."""
    value = json.loads(reply)
    if "candidates" in value:
        return GoogleProvider("", "", None).parse(200, {}, reply).logprobs
    if "choices" in value:
        return ChatProvider("", "", None).parse(200, {}, reply).logprobs
    found = value.get("logprobs")
    return found if isinstance(found, list) else None


def _alternatives(entry: TokenLogprob) -> Alternatives:
    others: Iterable[TokenLogprob] = entry.get("top_logprobs") or []
    token = _bytes(entry)
    log_probs = {_bytes(other): float(other["logprob"]) for other in others}
    log_probs.setdefault(token, float(entry["logprob"]))
    return Alternatives(token, log_probs)


def _bytes(entry: TokenLogprob) -> bytes:
    raw = entry.get("bytes")
    return bytes(raw) if raw else str(entry["token"]).encode()


def _useless(counts: ReplyCounts, teacher: str) -> str:
    if counts.other_tokens:
        return (
            f"{teacher} cuts its answers into other tokens than the student ({counts.other_tokens:,} replies, none agrees), so "
            "its alternatives cannot be taught token by token. Train on the answers (train.method: sft), or use an open teacher."
        )
    return (
        f"None of the {counts.without:,} stored replies of {teacher} carries log-probabilities. Set sampling.top_logprobs: 20 "
        "for it and run `distil collect` (Anthropic and OpenAI's reasoning models give none), or train with method sft."
    )
