"""Chooses and opens the signal source that the `train` section describes. Raises UserError for whatever can't serve it."""

from __future__ import annotations

from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

from distil.calls.config import TeacherConfig
from distil.errors import UserError
from distil.models.fingerprint import shared_prefix, template_fingerprint, tokenizer_fingerprint
from distil.models.load import Loaded, load, load_tokenizer
from distil.models.spread import spread_of
from distil.runs.artifacts import Project
from distil.runs.signals.store import SignalStore
from distil.train.config import TeacherShare, TrainConfig
from distil.train.pairs import PairSource
from distil.train.signal.crosstokenizer import CrossTokenizerSource
from distil.train.signal.server import Address, ServerSource
from distil.train.signal.sources import CachedSource, NoSource, OnlineSource, SignalSource

PROBE = 'Where is order 4711? Ümlaut, 你好, {"a": [1, 2.5]}\n\n\tdef f(x): return x**2'


def signal_source(
    section: TrainConfig, project: Project, teacher: TeacherConfig | None, student: Loaded, *, packing: bool
) -> SignalSource:
    """The teacher's side of the loss."""
    if section.method == "sft":
        return NoSource()
    if section.method == "dpo":
        return PairSource(section.dpo_beta)
    if section.signal == "cached":
        return _cached(section, project, student)
    if section.signal == "server":
        address = Address.parse(section.server or (teacher.model if teacher else ""))
        return ServerSource(address, section.server_top_k, student.device)
    shares = _local_teachers(section, teacher)
    if not all(same_tokenizer(student.tokenizer, load_tokenizer(share.model)) for share in shares):
        return _cross_tokenizer(section, shares, student)
    models = [_load(share.model, section, student).model for share in shares]
    return OnlineSource(models, [share.weight for share in shares], packing=packing)


def same_tokenizer(student: PreTrainedTokenizerBase, teacher: PreTrainedTokenizerBase) -> bool:
    """Whether both give the same ids: one may extend the other (families pad and extend their vocabularies)."""
    if tokenizer_fingerprint(student) == tokenizer_fingerprint(teacher):
        return True
    ids = [tokenizer(PROBE, add_special_tokens=False)["input_ids"] for tokenizer in (student, teacher)]
    return bool(ids[0] == ids[1] and shared_prefix(student, teacher) >= 0.99 * min(len(student), len(teacher)))


def _cached(section: TrainConfig, project: Project, student: Loaded) -> CachedSource:
    if section.method == "on_policy":
        raise UserError(
            "train.signal: cached holds the fixed answers only, and on_policy needs others. Set train.signal: online or server."
        )
    tokenizer = tokenizer_fingerprint(student.tokenizer)
    template = template_fingerprint(student.tokenizer, for_teacher=True)
    store = SignalStore.open(project.signals, tokenizer=tokenizer, template=template)
    return CachedSource(store, section.temperature, student.device)


def _cross_tokenizer(section: TrainConfig, shares: Sequence[TeacherShare], student: Loaded) -> CrossTokenizerSource:
    if section.cross_tokenizer is None:
        raise UserError(
            f"The teacher {shares[0].model} and the student {student.ref} have different tokenizers, so their distributions "
            "can't be compared token by token. Set train.cross_tokenizer: bytes (or spans, uld), choose models of one family, or "
            "set train.method: sft."
        )
    if len(shares) > 1:
        raise UserError(
            "A mixture of teachers needs one tokenizer for all of them. With train.cross_tokenizer, name a single teacher."
        )
    teacher = _load(shares[0].model, section, student)
    return CrossTokenizerSource(teacher, student, section.cross_tokenizer)


def _load(ref: str, section: TrainConfig, student: Loaded) -> Loaded:
    """A teacher beside the student, or spread over several devices. Raises UserError where processes would share them."""
    if section.teacher_memory is not None and section.processes > 1:
        raise UserError(
            f"train.teacher_memory spreads one teacher over all devices, and train.processes is {section.processes}: each would "
            "do so. Set train.processes to 1, or serve the teacher (train.signal: server), or cache it (distil signals build)."
        )
    return load(ref, dtype="auto", device=str(student.device), spread=spread_of(section.teacher_memory))


def _local_teachers(section: TrainConfig, teacher: TeacherConfig | None) -> list[TeacherShare]:
    if section.teachers:
        return [share.model_copy(update={"model": _local(share.model)}) for share in section.teachers]
    if teacher is None:
        raise UserError(
            f"train.method: {section.method} needs a teacher, and distil.yaml names none. Add one under `teachers`."
        )
    return [TeacherShare(model=_local(teacher.model))]


def _local(model: str) -> str:
    if model.startswith(("http://", "https://", "sglang+")):
        raise UserError(
            f"The teacher {model} is a server, and train.signal is online (a model in this process). Set train.signal: server, "
            "or name a local model in train.teachers."
        )
    provider = model.split("/", 1)[0]
    if provider in ("openai", "anthropic", "google", "recorded", "azure", "together", "fireworks", "groq", "mistral"):
        raise UserError(
            f"The teacher {model} gives text only, and train.method needs a distribution over every token. Set train.method: "
            "sft, or name an open model in train.teachers, such as {model: Qwen/Qwen3-8B}."
        )
    return model.removeprefix("local/")
