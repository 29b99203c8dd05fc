"""Texts that student and teacher write together (speculative knowledge distillation, Xu et al. 2025, 2410.11325).

The student draws each next token from its own distribution. One that is not among the teacher's k most probable there is
replaced by one that the teacher draws from its own. So the texts are the student's where the teacher can follow them, and come
back where it could not. k = the vocabulary is plain on-policy, k = 1 is the teacher's text in a greedy draw. The authors' code
has the same rule; it proposes five tokens at once, which is faster with a large teacher and changes no text's distribution.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedModel

from distil.models.draw import nucleus, pick, tempered, wide
from distil.models.load import Loaded, context_length, stop_ids
from distil.models.rows import Rows, Ways, ways
from distil.records import Sampling
from distil.train.writing import AT_ONCE


class Written(NamedTuple):
    """One text."""

    ids: list[int]
    """Its tokens, the end included where one was drawn."""
    kept: list[bool]
    """Which of them the student proposed."""


@dataclass(frozen=True)
class Together:
    """A student and a teacher with one tokenizer, in one process."""

    student: Loaded
    teacher: PreTrainedModel
    top_k: int
    batch_size: int = AT_ONCE

    def write(
        self, prompts: Sequence[list[int]], asked: Sequence[list[int]], sampling: Sampling, seed: int
    ) -> list[Written]:
        """A text for each prompt, in their order. asked: the teacher's prompts (its instructions may be longer).

        `sampling` holds for both sides; the student draws the same numbers as in `generate` with this seed.
        """
        generators = (_generator(self.student.device, seed), _generator(self.student.device, seed + 1))
        was_training = self.student.model.training
        self.student.model.eval()
        written: dict[int, Written] = {}
        try:
            with torch.inference_mode():
                hows = (ways(self.student.model), ways(self.teacher))
                size = self.batch_size if all(how.pads for how in hows) else 1
                order = sorted(range(len(prompts)), key=lambda i: (-len(prompts[i]), i))
                for start in range(0, len(order), size):
                    chosen = order[start : start + size]
                    sides = ([prompts[i] for i in chosen], [list(asked[i]) for i in chosen])
                    texts = _Batch(self, sides, sampling, generators, hows).run()
                    written |= dict(zip(chosen, texts, strict=True))
        finally:
            self.student.model.train(was_training)
        return [written[i] for i in range(len(prompts))]


@dataclass
class _Batch:
    """Rows that are written together. A finished row leaves where both models' caches can lose one."""

    together: Together
    prompts: tuple[list[list[int]], list[list[int]]]
    sampling: Sampling
    generators: tuple[torch.Generator, torch.Generator]
    hows: tuple[Ways, Ways]
    texts: list[Written] = field(default_factory=list)

    def run(self) -> list[Written]:
        student, teacher = self.together.student, self.together.teacher
        self.texts = [Written([], []) for _ in self.prompts[0]]
        room = [self._room(row) for row in range(len(self.texts))]
        steps, pad, stops = max(room), int(student.tokenizer.pad_token_id), stop_ids(student.model, student.tokenizer)
        models = (student.model, teacher)
        rows = [Rows(m, p, pad, steps, how) for m, p, how in zip(models, self.prompts, self.hows, strict=True)]
        alive, narrows = list(range(len(self.texts))), all(how.narrows for how in self.hows)
        done = {row for row in alive if room[row] < 1}
        for _ in range(steps):
            tokens, kept = self._next(rows[0].logits(), rows[1].logits())
            for row, token, own in zip(alive, tokens.tolist(), kept.tolist(), strict=True):
                if row not in done:
                    self.texts[row].ids.append(token)
                    self.texts[row].kept.append(own)
                    if token in stops or len(self.texts[row].ids) >= room[row]:
                        done.add(row)
            if len(done) == len(self.texts):
                break
            for side in rows:
                side.append(tokens.to(side.tokens.device))
            if narrows and any(row in done for row in alive):
                left = [i for i, row in enumerate(alive) if row not in done]
                alive = [alive[i] for i in left]
                for side in rows:
                    side.keep(left)
        return self.texts

    def _room(self, row: int) -> int:
        """Tokens that fit after the prompt in both contexts."""
        limits = (context_length(self.together.student.model), context_length(self.together.teacher))
        left = [limit - len(side[row]) for limit, side in zip(limits, self.prompts, strict=True) if limit is not None]
        return min([self.sampling.max_tokens, *left])

    def _next(self, student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
        """(tokens (B,), whether each is the student's) from (B, V) logits; ids that the teacher alone has are left out."""
        teacher = teacher.to(student.device)[:, : student.shape[1]]
        proposed = _drawn(student, self.sampling, self.generators[0])
        likely = teacher.topk(min(self.together.top_k, teacher.shape[1]), -1).indices
        kept = (likely == proposed[:, None]).any(-1)
        return torch.where(kept, proposed, _drawn(teacher, self.sampling, self.generators[1])), kept


def _drawn(logits: Tensor, sampling: Sampling, generator: torch.Generator) -> Tensor:
    if sampling.temperature == 0:
        return logits.argmax(-1)
    probabilities = tempered(logits, sampling.temperature)
    if sampling.top_p < 1:
        probabilities = nucleus(probabilities, sampling.top_p)
    device = logits.device
    return pick(probabilities, torch.rand(len(logits), 1, generator=generator, device=device, dtype=wide(device)))


def _generator(device: torch.device, seed: int) -> torch.Generator:
    generator = torch.Generator(device=device)
    generator.manual_seed(seed)
    return generator
