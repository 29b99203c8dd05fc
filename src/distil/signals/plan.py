"""The loaded teacher, the tokenizer that makes the token ids, and the spec of the cache that follows from both.

Only for teachers that run here; api.py makes its own spec.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypedDict

import numpy as np

from distil.errors import UserError
from distil.models.config import StudentConfig
from distil.models.fingerprint import shared_prefix, template_fingerprint, tokenizer_fingerprint
from distil.models.load import context_length, load, load_tokenizer, resolve
from distil.models.spread import spread_of
from distil.models.student_prompt import show_whole_prompt
from distil.models.template import TemplateSettings
from distil.runs.signals.codec import Kind
from distil.runs.signals.spec import SignalSpec
from distil.signals.config import SignalsConfig
from distil.signals.teacher import LocalTeacher, revision_of, to_numpy

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

DEFAULT_K = {"top_k": 50, "stratified": 4}
DEFAULT_DRAWS = {"sampled": {"independent": 50, "systematic": 40}, "stratified": {"independent": 4, "systematic": 4}}
"""Within 30 bytes a token where a teacher at V = 128k gives 12 different ids in 50 draws (benchmarks/signals.py)."""


class SignalPlan:
    """What a build in this process needs to know about its teacher."""

    def __init__(
        self,
        ref: str,
        name: str,
        section: SignalsConfig,
        student: StudentConfig | None,
        template: TemplateSettings | None = None,
        *,
        temperature: float = 1.0,
        seed: int = 0,
    ) -> None:
        """ref: what `load` takes; name: as the config names it; template: of the student.

        Raises UserError where student and teacher don't match.
        """
        loaded = load(ref, spread=spread_of(section.teacher_memory))
        self.teacher = LocalTeacher(loaded.model)
        tokens_from = student.model if student else ref
        self.tokenizer = load_tokenizer(student.model, template) if student else loaded.tokenizer
        self.one_answer = show_whole_prompt(self.tokenizer)
        """Whether each answer has its own row: where the student's prompt is baked in, as in training."""
        _refuse_other_tokens(self.tokenizer, loaded.tokenizer, tokens_from, name)
        limits = [n for n in (section.max_length, context_length(self.teacher.model)) if n is not None]
        self.limit = min(limits) if limits else None
        hidden = section.kind == "hidden"
        self.spec = SignalSpec(
            teacher=name,
            revision=revision_of(resolve(ref), self.teacher.model),
            tokenizer=tokenizer_fingerprint(self.tokenizer),
            tokenizer_from=tokens_from,
            template=template_fingerprint(self.tokenizer),
            vocab_size=self.teacher.vocab_size,
            max_length=section.max_length,
            dtype=_dtype(section, self.teacher),
            hidden_size=self.teacher.hidden_size if hidden else 0,
            logit_scale=self.teacher.head.scale if hidden else 1.0,
            logit_softcap=self.teacher.head.softcap if hidden else None,
            **row_settings(section, temperature, seed),
        )

    def write_head(self, folder: Path) -> None:
        """hidden: the head beside the rows, once, so that training needs no teacher in memory."""
        head, path = self.teacher.head, folder / "head.npy"
        if path.exists():
            return
        folder.mkdir(parents=True, exist_ok=True)
        if head.bias is not None:
            np.save(folder / "head_bias.npy", head.bias.float().cpu().numpy())
        unfinished = folder / "head.unfinished.npy"
        np.save(unfinished, to_numpy(head.weight, self.spec.dtype))
        unfinished.rename(path)


class RowSettings(TypedDict):
    """The fields of a spec that decide what is stored of a row."""

    kind: Kind
    temperatures: tuple[float, ...]
    k: int
    draws: int
    draw: Literal["independent", "systematic"]
    sets: int
    seed: int


def row_settings(section: SignalsConfig, temperature: float, seed: int) -> RowSettings:
    """What a section stores of each row. temperature: the training's."""
    kind = section.kind
    drawn = kind in ("sampled", "stratified")
    grid = tuple(sorted({*section.temperatures, temperature}))
    temperatures = {"top_k": grid, "hidden": ()}.get(kind, (section.temperature or temperature,))
    return {
        "kind": kind,
        "temperatures": temperatures,
        "k": (section.k or DEFAULT_K[kind]) if kind in DEFAULT_K else 0,
        "draws": (section.draws or DEFAULT_DRAWS[kind][section.draw]) if drawn else 0,
        "draw": section.draw if drawn else "independent",
        "sets": section.draw_sets if drawn else 1,
        "seed": seed if drawn else 0,
    }


def _dtype(section: SignalsConfig, teacher: LocalTeacher) -> Literal["float16", "bfloat16", "float32"]:
    if section.dtype == "bfloat16" and section.kind == "top_k":
        raise UserError(
            "signals.dtype: bfloat16 keeps too few digits of a logit. Set float16 or float32 for kind top_k, or auto."
        )
    if section.dtype != "auto":
        return section.dtype
    dtype = str(teacher.head.weight.dtype).removeprefix("torch.")
    return "bfloat16" if section.kind == "hidden" and dtype == "bfloat16" else "float16"


def _refuse_other_tokens(
    ours: PreTrainedTokenizerBase, theirs: PreTrainedTokenizerBase, student: str, teacher: str
) -> None:
    shared, size = shared_prefix(ours, theirs), len(ours.get_vocab())
    if shared < size and shared < len(theirs.get_vocab()):
        raise UserError(
            f"The student {student} and the teacher {teacher} have different tokenizers (their first {shared:,} of {size:,} ids "
            "agree), so the teacher's distributions over its tokens say nothing about the student's. Use a teacher of the "
            "student's family, or train without a cache: train.cross_tokenizer: bytes with train.signal: online."
        )
