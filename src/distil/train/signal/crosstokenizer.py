"""A teacher with another tokenizer: the same conversation in both tokenizers, aligned by the bytes of the answers.

The mathematics is in distil.objectives (spans.py, crosstokenizer.py); here both sides are rendered with their own chat
templates, run, and their answer rows are paired. Not for teachers of the student's family (sources.OnlineSource is exact).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from distil.errors import UserError
from distil.models.head import output_head
from distil.models.load import Loaded, context_length
from distil.models.render import render, special_ids
from distil.models.token_bytes import bytes_of_ids, ids_of_bytes
from distil.models.unwrap import causal_model, input_embedding
from distil.objectives.crosstokenizer import CrossTokenizer, cross_tokenizer_distillation
from distil.objectives.heads import OutputHead
from distil.objectives.settings import LossSettings
from distil.objectives.spans import (
    END_OUTCOME,
    OTHER_OUTCOME,
    FirstBytes,
    Spans,
    VocabularyMatch,
    aligned_spans,
    joined_spans,
    matched_vocabulary,
)
from distil.objectives.targets import IGNORED, DenseTargets
from distil.train.batches import MicroBatch, pad
from distil.train.examples import Tokenized
from distil.train.signal.sources import Signal, lookup

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class CrossTokenizerSource:
    """Provides a loss for each micro-batch in place of the fused one."""

    packs = True  # of the student; the teacher's side is padded

    def __init__(self, teacher: Loaded, student: Loaded, method: str) -> None:
        self.teacher, self.student, self.method = teacher, student, method
        teacher.model.eval().requires_grad_(False)
        self.settings = LossSettings()
        self._alignments: dict[str, tuple[Tokenized, Spans]] = {}
        self._cache: dict[str, Tensor] = {}
        self._match: VocabularyMatch | None = None
        self._first_bytes: FirstBytes | None = None
        self._bytes = {id(side.tokenizer): TokenBytes(side.tokenizer) for side in (teacher, student)}

    def check(self, examples: Sequence[Tokenized], settings: LossSettings) -> None:
        """Renders and aligns all examples. Raises UserError if the vocabularies share nothing or an example is too long."""
        self.settings = settings
        limit = context_length(causal_model(self.teacher.model))
        groups = 0
        for example in examples:
            if not example.learned:
                continue  # a prompt that the student will answer
            teacher_side, spans = self._align(example)
            groups += len(spans)
            if limit is not None and len(teacher_side.input_ids) > limit:
                raise UserError(
                    f"Example {example.id} has {len(teacher_side.input_ids):,} tokens for the teacher, which reads at most "
                    f"{limit:,}. Shorten it, or use a teacher with a longer context."
                )
        if not groups:
            raise UserError(
                "No group of the teacher's tokens covers the same text as a group of the student's, so nothing can be compared. "
                "Check that both chat templates keep the answers unchanged."
            )
        device = self.student.device
        sizes = [output_head(causal_model(side.model)).weight.shape[0] for side in (self.student, self.teacher)]
        if self.method == "bytes":
            sides = zip((self.student, self.teacher), sizes, strict=True)
            firsts = [self._bytes[id(side.tokenizer)].first_bytes(size) for side, size in sides]
            self._first_bytes = FirstBytes(*(torch.tensor(first) for first in firsts)).to(device)
        elif self.method == "spans":
            student_ids, teacher_ids = (
                self._bytes[id(side.tokenizer)].vocabulary() for side in (self.student, self.teacher)
            )
            match = matched_vocabulary(student_ids, teacher_ids, *sizes)
            self._match = VocabularyMatch(match.student_ids.to(device), match.teacher_ids.to(device), *sizes)

    def signal(self, batch: MicroBatch, epoch: int) -> Signal:
        """A loss over the student's counted rows, bound to the teacher's rows and the alignment."""
        sides = [self._align(example, cache=not batch.rollout) for example in batch.examples]
        cached = lookup(self._cache, batch)
        hidden = self._compute([side for side, _ in sides]) if cached is None else torch.cat(cached)
        targets = DenseTargets.of(hidden, output_head(causal_model(self.teacher.model)))
        learned = [token for side, _ in sides for token in side.labels if token != IGNORED]
        teacher_labels = torch.tensor(learned, device=self.teacher.device)
        parts, student_start, teacher_start = [], 0, 0
        for example, (side, spans) in zip(batch.examples, sides, strict=True):
            parts.append(spans.moved(student_start, teacher_start))
            student_start, teacher_start = student_start + example.learned, teacher_start + side.learned
        spans = joined_spans(parts).to(self.student.device)

        def loss(rows: Tensor, head: OutputHead, labels: Tensor) -> dict[str, Tensor]:
            losses = cross_tokenizer_distillation(
                rows, head.weight, targets, labels, teacher_labels, spans, self._comparison(head), head.bias
            )
            return {"loss": losses.total, "distill": losses.distill, "label": losses.label}

        return Signal(loss=loss)

    @torch.no_grad()
    def _compute(self, sides: Sequence[Tokenized]) -> Tensor:
        """The teacher's hidden rows (R, H) that predict the learned tokens of these texts."""
        batch = pad(list(sides), int(self.teacher.tokenizer.pad_token_id)).to(self.teacher.device)
        return batch.counted_hidden(causal_model(self.teacher.model))

    def cache_bytes(self, examples: Sequence[Tokenized]) -> int:
        """Memory for the teacher's hidden states of all learned positions."""
        weight = input_embedding(self.teacher.model)
        bytes_per_row = weight.shape[1] * weight.element_size()
        return bytes_per_row * sum(self._align(example)[0].learned for example in examples)

    def fill_cache(self, batches: Iterable[MicroBatch], device: torch.device) -> None:
        """Computes the hidden states of fixed texts once, in the given order (as OnlineSource does)."""
        for batch in batches:
            sides = [self._align(example)[0] for example in batch.examples]
            rows = self._compute(sides).split([side.learned for side in sides])
            self._cache.update({example.id: row for example, row in zip(batch.examples, rows, strict=True)})

    def _comparison(self, head: OutputHead) -> CrossTokenizer:
        sides = (self.method, self._match, self._first_bytes, self.settings)
        return CrossTokenizer(*sides, logit_scale=head.scale, logit_softcap=head.softcap)

    def _align(self, example: Tokenized, *, cache: bool = True) -> tuple[Tokenized, Spans]:
        """The teacher's rendering of an example and the groups of its learned tokens. Not cached for rollouts: their texts
        change under the same id."""
        if cache and example.id in self._alignments:
            return self._alignments[example.id]
        rendered = render(self.teacher.tokenizer, example.messages, tools=example.tools)
        teacher_side = Tokenized(example.id, rendered.input_ids, [IGNORED, *rendered.labels[1:]], 0)
        spelled = [
            [self._bytes[id(side.tokenizer)].of(token) for token in tokenized.labels if token != IGNORED]
            for side, tokenized in ((self.student, example), (self.teacher, teacher_side))
        ]
        alignment = teacher_side, same_text_spans(*spelled)
        if cache:
            self._alignments[example.id] = alignment
        return alignment


def same_text_spans(student: Sequence[bytes], teacher: Sequence[bytes]) -> Spans:
    """Groups of tokens (as bytes; empty for a control token) of one answer in two tokenizers, up to the first difference.

    Blanks before the answer are ignored: SentencePiece puts one before the first word, byte-level tokenizers none. If a template
    changes the text on one side (cut blanks, a mark that only one tokenizer has), the groups after the difference are left out
    instead of being compared at the wrong position.
    """
    texts = [b"".join(side) for side in (student, teacher)]
    blanks = [len(text) - len(text.lstrip()) for text in texts]
    left, right = (text[count:] for text, count in zip(texts, blanks, strict=True))
    differing = (index for index, (a, b) in enumerate(zip(left, right, strict=False)) if a != b)
    common = next(differing, min(len(left), len(right)))
    student_ends, teacher_ends = (
        [max(end - count, 0) for end in accumulate(map(len, side))]
        for side, count in zip((student, teacher), blanks, strict=True)
    )
    spans = aligned_spans(student_ends, teacher_ends)
    same = torch.tensor([student_ends[stop - 1] <= common for stop in spans.student[:, 1].tolist()], dtype=torch.bool)
    return Spans(spans.student[same], spans.teacher[same])


class TokenBytes:
    """The bytes of each id of a tokenizer: the one spelling in which two vocabularies can be compared."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        special = special_ids(tokenizer)
        self._end = int(tokenizer.eos_token_id)
        self._bytes = {i: b"" if i in special else text for i, text in bytes_of_ids(tokenizer).items()}

    def of(self, token: int) -> bytes:
        """Bytes of one id; a control token has none."""
        return self._bytes.get(token, b"")

    def first_bytes(self, size: int) -> list[int]:
        """For each id of logits of this size: its first byte, END_OUTCOME, or OTHER_OUTCOME for controls and padding."""
        outcomes = [OTHER_OUTCOME] * size
        for token, text in self._bytes.items():
            if token < size and text:
                outcomes[token] = text[0]
        outcomes[self._end] = END_OUTCOME
        return outcomes

    def vocabulary(self) -> dict[Hashable, int]:
        """bytes -> id, for ids that spell text; the end token has a key that both sides share."""
        ids = ids_of_bytes({token: text for token, text in self._bytes.items() if text}, set())
        vocabulary: dict[Hashable, int] = {"<end of answer>": self._end}
        return vocabulary | dict(ids.items())
