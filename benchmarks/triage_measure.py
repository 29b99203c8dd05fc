"""How near a student of the bundled task is to the bundled teacher: in its greedy answers, on its own samples, on the teacher's.

Used by onpolicy.py, levers_on_policy.py, headline.py and, for a student that reads with another tokenizer, by crosstokenizer.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from distil.bundled.triage import SYSTEM, answer_text
from distil.bundled.triage import generate as draw_messages
from distil.fields import compare_fields
from distil.models.generate import generate
from distil.models.head import output_head
from distil.models.load import Loaded, load
from distil.models.render import render_prompt
from distil.objectives.crosstokenizer import CrossTokenizer
from distil.objectives.heads import OutputHead
from distil.objectives.settings import LossSettings
from distil.objectives.targets import IGNORED
from distil.records import Message, Sampling
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_json, write_json
from distil.text import parse_object
from distil.train.batches import pad
from distil.train.examples import Tokenized
from distil.train.signal.crosstokenizer import CrossTokenizerSource

LONGEST = 80
SAMPLED = 150  # messages whose samples are compared token by token
GREEDY = Sampling(temperature=0.0, max_tokens=LONGEST)
FREE = Sampling(temperature=1.0, max_tokens=LONGEST)


@dataclass(frozen=True)
class Measured:
    """One student on one set of messages."""

    teacher: float
    """Share of fields of the greedy answer that equal the teacher's greedy answer."""
    reference: float
    """Share that equals the reference."""
    whole: float
    """Share of answers with all fields as the teacher's."""
    kl: float
    """KL(student || teacher) of whole answers, nats, estimated on the student's samples with exact sums at each token."""
    agreement: float
    """Share of positions of these samples at which both would choose the same token."""
    tokens: float
    """Mean length of a sample."""


@dataclass(frozen=True)
class Across:
    """One student with another tokenizer on one set of messages."""

    teacher: float
    """As in Measured."""
    reference: float
    """As in Measured."""
    whole: float
    """As in Measured."""
    bits: float
    """Bits that the student needs for a byte of the teacher's samples at temperature 1, end token included."""
    kl: float
    """KL(teacher || student) of whole answers, nats, estimated on these samples: a text has one probability on either side."""
    spans: float
    """Forward KL at the groups of tokens that say the same bytes, nats a group, exact on shared ids."""


class Judge:
    """The messages, and what the teacher answers to them."""

    def __init__(self, messages: int, on: str) -> None:
        """on: test = held-out wording, seed 0 (what the projects hold out); validation = wording of training, other messages."""
        test = on == "test"
        self.examples = draw_messages(messages, seed=0 if test else 77, split="test" if test else "train")
        self.teacher = load("bundled/teacher", dtype="float32", device="cpu")
        self.chats = [
            (Message(role="system", content=SYSTEM), Message(role="user", content=e.message)) for e in self.examples
        ]
        self.prompts = self._prompts(self.teacher)
        self.answers = [a.text for a in generate(self.teacher, self.prompts, GREEDY)]

    def _prompts(self, side: Loaded) -> list[list[int]]:
        return [render_prompt(side.tokenizer, chat) for chat in self.chats]

    def measure(self, model: Path) -> Measured:
        """Of a student with the teacher's tokenizer: answers all messages greedily and once by chance."""
        student = load(str(model), dtype="float32", device="cpu")
        said = [a.text for a in generate(student, self.prompts, GREEDY)]
        samples = [a.token_ids for a in generate(student, self.prompts[:SAMPLED], FREE, seed=0)]
        return Measured(*self._answers(said), *self._on_own_texts(student, samples))

    def measure_across(self, model: Path) -> Across:
        """Of a student with another tokenizer."""
        student = load(str(model), dtype="float32", device="cpu")
        said = [a.text for a in generate(student, self._prompts(student), GREEDY)]
        return Across(*self._answers(said), *self._on_teachers_texts(student))

    def _answers(self, said: list[str]) -> tuple[float, float, float]:
        like_teacher = field_shares(said, self.answers)
        like_reference = [_share(text, answer_text(e.reference)) for text, e in zip(said, self.examples, strict=True)]
        return fmean(like_teacher), fmean(like_reference), fmean(share == 1.0 for share in like_teacher)

    def _on_own_texts(self, student: Loaded, samples: list[list[int]], batch: int = 25) -> tuple[float, float, float]:
        total = same = count = 0.0
        for start in range(0, len(samples), batch):
            rows = list(zip(self.prompts[start:], samples[start : start + batch], strict=False))
            texts = [_tokenized(str(i), prompt, sample) for i, (prompt, sample) in enumerate(rows)]
            q, p = (_log_probs(side, texts)[0] for side in (student, self.teacher))
            total += float((q.exp() * (q - p)).sum())
            same += float((q.argmax(-1) == p.argmax(-1)).sum())
            count += q.shape[0]
        return total / len(samples), same / count, count / len(samples)

    def _on_teachers_texts(self, student: Loaded, batch: int = 25) -> tuple[float, float, float]:
        drawn = generate(self.teacher, self.prompts[:SAMPLED], FREE, seed=0)
        ended = [i for i, answer in enumerate(drawn) if answer.finish_reason == "stop"]
        texts = {i: (*self.chats[i], Message(role="assistant", content=drawn[i].text)) for i in ended}
        theirs = [_tokenized(str(i), self.prompts[i], drawn[i].token_ids) for i in ended]
        encode, end = student.tokenizer, int(student.tokenizer.eos_token_id)
        prompts = self._prompts(student)
        answers = [[*encode(drawn[i].text, add_special_tokens=False)["input_ids"], end] for i in ended]
        ours = [
            replace(_tokenized(str(i), prompts[i], answer), messages=texts[i])
            for i, answer in zip(ended, answers, strict=True)
        ]
        source = _Shared(self.teacher, student, "spans")
        source.check(ours, LossSettings(distill_weight=1.0, label_weight=0.0))
        said = asked = spans = 0.0
        for start in range(0, len(ours), batch):
            mine, yours = ours[start : start + batch], theirs[start : start + batch]
            said += float(_log_probs(student, mine)[1].sum())
            asked += float(_log_probs(self.teacher, yours)[1].sum())
            spans += _divergence(source, student, mine)
        size = sum(len(drawn[i].text.encode()) for i in ended)
        groups = sum(len(source._align(example)[1]) for example in ours)
        return -said / size / math.log(2), (asked - said) / len(ended), spans / groups


class _Shared(CrossTokenizerSource):
    """The divergence alone, without the sorted difference of the ids that only one side has."""

    def _comparison(self, head: OutputHead) -> CrossTokenizer:
        return replace(super()._comparison(head), rest_weight=0.0)


def _tokenized(name: str, prompt: list[int], answer: list[int]) -> Tokenized:
    return Tokenized(name, prompt + answer, [IGNORED] * len(prompt) + answer, len(prompt))


@torch.no_grad()
def _divergence(source: CrossTokenizerSource, student: Loaded, texts: list[Tokenized]) -> float:
    batch = pad(texts, 0)
    _, labels = batch.counted
    loss = source.signal(batch, 0).loss
    assert loss is not None
    return float(loss(batch.counted_hidden(student.model), output_head(student.model), labels)["distill"])


@torch.no_grad()
def _log_probs(side: Loaded, texts: list[Tokenized]) -> tuple[Any, Any]:
    """(R, V) log-probabilities at the learned places of these texts, and (R,) those of the tokens at those positions."""
    batch = pad(texts, 0)
    _, labels = batch.counted
    found = output_head(side.model).logits(batch.counted_hidden(side.model)).float().log_softmax(-1)
    return found, found.gather(1, labels[:, None])


@cache
def _unseen(messages: int) -> Judge:
    return Judge(messages, "test")


def scored(project: Project, name: str, messages: int) -> list[float]:
    """Share of the teacher's fields in a trained student's answer to each of so many messages with held-out wording; kept."""
    path = project.root / "scored" / f"{name}.json"
    if not path.exists():
        judge = _unseen(messages)
        student = load(str(project.model(name)), dtype="float32", device="cpu")
        said = [answer.text for answer in generate(student, judge.prompts, GREEDY)]
        write_json(path, {"shares": field_shares(said, judge.answers)})
    return [float(share) for share in read_json(path)["shares"]]


def field_shares(said: Sequence[str], answers: Sequence[str]) -> list[float]:
    """For each message the share of the answer's fields that were said."""
    return [_share(text, answer) for text, answer in zip(said, answers, strict=True)]


def _share(text: str, target: str) -> float:
    fields = compare_fields(text, parse_object(target) or {}).fields
    return fmean(fields.values()) if fields else 0.0
