"""API or logits, and how the teacher's distributions would get to the training (the article's "Choosing Between ...").

API-based where a vendor gives text only. Logit-based where the teacher is open: in the training's memory, run once ahead of it
(cached), or on a server of its own.
"""

from __future__ import annotations

from typing import NamedTuple

from distil.calls.config import TeacherConfig
from distil.calls.providers.catalog import ModelRef, parse_model
from distil.config import Config
from distil.fit import USABLE_MEMORY, training_need
from distil.models.shape import Shape, model_folder, model_shape
from distil.models.sizing import GIB, Machine
from distil.models.vocabulary import same_vocabulary
from distil.plan.forecast import Change
from distil.plan.hardware import room_for_teacher
from distil.runs.artifacts import Project
from distil.train.config import BY_TEXT

ADVISED_EXAMPLES = 10_000
"""Up to so many answers are worth paying for, says the article."""
SERVERS = ("http", "https")
"""Teachers at an address of your own: vLLM and SGLang there give distributions, too."""


class Method(NamedTuple):
    """The choice."""

    name: str
    """api | logits."""
    reasons: list[str]
    changes: list[Change]
    """Settings that it needs."""


def choose_method(project: Project, config: Config, prompts: int, machine: Machine) -> Method:
    """With the evidence: where the teacher is, its size, the tokenizers, the number of examples."""
    teacher = config.teachers[0]
    ref = parse_model(teacher.model)
    if config.train.method == "dpo":
        return _preferences(teacher, ref, prompts)
    if config.train.signal == "server" and config.train.method not in BY_TEXT:
        return _served(config, teacher.model)
    if ref.prefix not in ("local", "bundled"):
        return _behind_api(teacher, ref, prompts)
    shape = model_shape(project.placed(teacher.model))
    if shape is None:
        unknown = f"the size of {teacher.model} is unknown, so it may not fit here; its answers always do"
        return Method("api", [unknown], [])
    return _open(project, config, shape, machine)


def _preferences(teacher: TeacherConfig, ref: ModelRef, prompts: int) -> Method:
    """dpo was chosen, which no distribution takes the place of: it comes after a training, and needs texts."""
    reasons = [
        "train.method: dpo prefers the teacher's answers to the student's own: answers are all that it takes, and no teacher is "
        "in the training's memory"
    ]
    if ref.prefix in ("local", "bundled", *SERVERS):
        reasons.append(
            f"{teacher.model} may give its distributions, too: they are for the training before, from whose student dpo starts "
            "(--set student.model=work/train/logits/model)"
        )
        return Method("api", reasons, [])
    return Method("api", [*reasons, *_behind_api(teacher, ref, prompts).reasons], [])


def _served(config: Config, model: str) -> Method:
    at = config.train.server or model
    top = config.train.server_top_k
    return Method(
        "logits",
        [
            f"{at} serves the teacher and train.signal is server: it gives the {top} most likely tokens at every position of the "
            "answers, and no teacher is in the training's memory",
            "the tokenizers must be equal: `distil train` compares them with the server's own before the first step",
        ],
        [],
    )


def _behind_api(teacher: TeacherConfig, ref: ModelRef, prompts: int) -> Method:
    where = "a file of answers" if ref.prefix == "recorded" else "behind an API"
    reasons = [f"{teacher.model} is {where}: its answers are available, its full distributions are not"]
    if ref.prefix in SERVERS:
        reasons = [
            f"{teacher.model} is a server: its answers are available. If it is vLLM or SGLang with the student's tokenizer, it "
            "gives distributions, too: --set train.method=logits --set train.signal=server"
        ]
    if ref.prefix != "recorded" and prompts < ADVISED_EXAMPLES:
        reasons.append(f"{prompts:,} prompts are few enough to pay for (the article's limit is {ADVISED_EXAMPLES:,})")
    return Method("api", reasons, [])


def _open(project: Project, config: Config, teacher: Shape, machine: Machine) -> Method:
    """An open teacher, from the least work to the most: in memory, cached, served; else its answers alone."""
    name, size = config.teachers[0].model, teacher.parameters * 2
    reasons = [f"{name} is open ({_size(teacher)}, {size / GIB:,.1f} GiB in 16 bits)", *_tokenizers(project, config)]
    logits = ("train.method=logits",) if config.train.method in BY_TEXT else ()
    online = _with(config, method=config.train.method if not logits else "logits", signal="online")
    need = training_need(project, online, machine)
    if need is not None and need.fits:
        reasons.append("it fits beside the student: match its full distribution, not only its answers")
        return Method("logits", reasons, [Change(logits, "Match the distribution")] if logits else [])
    one_card = size <= machine.memory * USABLE_MEMORY
    if one_card and config.train.method != "on_policy":
        reasons.append(
            "it fits here alone, not beside the student in training: `distil signals build` runs it once ahead of the training"
        )
        change = Change(
            (*logits, "train.signal=cached"), "Match the distribution, with `distil signals build` before the training"
        )
        return Method("logits", reasons, [change])
    cards = room_for_teacher(size, machine) if machine.gpu_name else None
    if cards is not None:
        return _on_own_gpus(config, reasons, cards, machine, name)
    have = f"{machine.gpus} x {machine.memory / GIB:.1f}" if machine.gpus > 1 else f"{machine.memory / GIB:.1f}"
    return Method(
        "api",
        [f"{name} needs {size / GIB:.1f} GiB and this machine has {have}: serve it elsewhere, as an API"],
        [],
    )


def _on_own_gpus(config: Config, reasons: list[str], cards: int, machine: Machine, name: str) -> Method:
    """A teacher over several GPUs, and the student on the others: at once where there are enough."""
    path = name.removeprefix("local/")
    left = machine.gpus - cards
    served = f"vllm serve {path} --tensor-parallel-size {cards} --max-logprobs {config.train.server_top_k}"
    where = f"the student on the other {left}" if left else "the student elsewhere"
    reasons.append(
        f"it is too large for one GPU ({machine.memory / GIB:.0f} GiB) and fits on {cards} of {machine.gpus}: served there, "
        f"{where}"
    )
    settings: tuple[str, ...] = ("train.signal=server", f"train.server=http://127.0.0.1:8000/v1#{path}")
    if config.train.method in BY_TEXT:
        settings = ("train.method=logits", *settings)
    return Method(
        "logits", reasons, [Change(settings, f"Serve the teacher (`{served}`) and train on its distributions")]
    )


def _with(config: Config, **train: object) -> Config:
    return config.model_copy(update={"train": config.train.model_copy(update=train)})


def _size(shape: Shape) -> str:
    about = "about " if shape.guessed else ""
    active = f", {shape.active / 1e9:.2g}B of them active" if 0 < shape.active < shape.parameters else ""
    return f"{about}{in_words(shape.parameters)}{active}"


def in_words(parameters: int) -> str:
    """8.03B or 135M parameters."""
    return f"{parameters / 1e9:.3g}B parameters" if parameters >= 1e9 else f"{parameters / 1e6:.3g}M parameters"


def _tokenizers(project: Project, config: Config) -> list[str]:
    """What the tokenizers' files say; nothing where one is not on this machine."""
    student, teacher = config.student.model, config.teachers[0].model
    same = same_vocabulary(model_folder(project.placed(student)), model_folder(project.placed(teacher)))
    if same is None:
        return [
            "whether the tokenizers are equal is not known (one is not on this machine); `distil train` proves it first"
        ]
    if same:
        return ["student and teacher have the same tokenizer"]
    how = config.train.cross_tokenizer
    return [
        "student and teacher have different tokenizers, "
        + (f"compared by train.cross_tokenizer: {how}" if how else "so logits need --set train.cross_tokenizer=bytes")
    ]


def split_for_server(project: Project, config: Config, method: Method, machine: Machine) -> int:
    """GPUs that are left for the student: all, but for those of a teacher that is to be served here."""
    served = any("train.signal=server" in change.settings for change in method.changes)
    shape = model_shape(project.placed(config.teachers[0].model)) if served else None
    cards = room_for_teacher(shape.parameters * 2, machine) if shape is not None else None
    return max(1, machine.gpus - cards) if cards is not None else machine.gpus


__all__ = ["ADVISED_EXAMPLES", "Method", "choose_method", "split_for_server"]
