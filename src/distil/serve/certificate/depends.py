"""What a certificate depends on: one table of names, values at calibration, values now, and what a difference means.

A calibrated start is refused where a row differs. A server behind `serve.engine` is asked nothing here: canary.py compares its
answers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeAlias

from distil.calls.config import TeacherConfig
from distil.ids import canonical_json, content_id, file_sha256
from distil.judging.settings import Settings
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_examples
from distil.runs.manifest import package_versions
from distil.runs.schemas.calibration import Calibration
from distil.serve.config import ServeConfig

HashOf: TypeAlias = Callable[[Path], str]

PARTS = {
    "weights": ("*.safetensors", "*.bin", "*.gguf", "*.index.json"),
    "quantization and dtype": ("config.json",),
    "generation_config": ("generation_config.json",),
    "template": ("chat_template*", "additional_chat_templates/*", "tokenizer_config.json"),
    "tokenizer": ("tokenizer*", "special_tokens_map.json", "added_tokens.json", "vocab*", "merges.txt"),
}
"""What the files of a model's folder are; a file belongs to the first part that names it, any other to `other files`."""
SETTINGS = ("risk", "confidence", "score", "default_max_tokens")
PACKAGES = ("torch", "transformers", "tokenizers")

_CHANGED = "The student {student!r} has changed since it was calibrated ({name}), so its guarantee no longer holds."
_SET = "serve.{name} is {now}, but {student!r} was calibrated with {then}."
SENTENCES = {
    **dict.fromkeys((*PARTS, "other files"), _CHANGED),
    **dict.fromkeys((*SETTINGS, "bad", "goal"), _SET),
    "engine": "The student {student!r} was calibrated {then} and is to be served {now}, but a threshold holds for the engine "
    "that it was found with.",
    "engine version": "The student {student!r} was calibrated with {then} and would run with {now}, which may give tokens other "
    "probabilities.",
    "teacher": "The teacher, or its sampling, was {then} at calibration and is {now}: the student was not compared with who "
    "answers now.",
    "judge": "The judge, its sampling or its rubric was {then} at calibration and is {now}: another one calls other answers bad.",
    "system prompt": "prompts.system has changed since {student!r} was calibrated.",
    "labels": "The validation prompts or their answers, on which the threshold of {student!r} was found, have changed.",
    "canaries": "The stored answers to the canary prompts of {student!r} have changed.",
    "file": "The calibration of {student!r} was edited by hand: its digest does not fit its content.",
}


@dataclass(frozen=True)
class Subject:
    """A student as it is calibrated, or about to be served."""

    project: Project
    name: str
    section: ServeConfig
    teachers: Sequence[TeacherConfig] = ()
    system: str | None = None
    """`prompts.system` of distil.yaml."""
    judge: Settings | None = None
    """The judge of the config; of a calibration: the one that was asked."""


class Dependency(NamedTuple):
    """One row of the table."""

    name: str
    then: str
    """The value at calibration."""
    now: str
    sentence: str
    """What a difference means."""

    @property
    def changed(self) -> bool:
        """Whether the row voids the certificate."""
        return self.then != self.now


def facts(subject: Subject, *, hash_of: HashOf = file_sha256) -> dict[str, str]:
    """Name -> value of all that can be read without asking a server. What is not here (a file that was left behind, a teacher
    that nobody named) has no entry, and is not compared. hash_of: gives the sha256 of a file of the model."""
    section, project = subject.section, subject.project
    model = project.model(subject.name)
    found = {"engine": "in this process" if section.engine is None else f"behind {section.engine}"}
    if section.engine is None:
        found |= _parts(model, hash_of) if model.is_dir() else {}
        versions = package_versions()
        if all(package in versions for package in PACKAGES):
            found["engine version"] = ", ".join(f"{package} {versions[package]}" for package in PACKAGES)
    if subject.teachers:
        teacher = subject.teachers[0]
        found["teacher"] = (
            f"{teacher.model} {canonical_json(teacher.sampling.model_dump(mode='json', exclude_none=True))}"
        )
        found["system prompt"] = content_id("system", subject.system)
    if subject.judge is not None:
        found["judge"] = _judge(subject.judge)
    if project.split("validation").exists():
        found["labels"] = labels_hash(project.split("validation"))
    if project.canaries(subject.name).exists():
        found["canaries"] = f"sha256:{file_sha256(project.canaries(subject.name))[:20]}"
    settings = section.model_dump(mode="json")
    return found | {name: str(settings[name]) for name in SETTINGS}


def sealed(calibration: Calibration, depends: dict[str, str], goal: float | None = None) -> Calibration:
    """The calibration with what it depends on, and the digest of its content. goal: as it was set, or None."""
    noted = calibration.model_copy(update={"depends": depends | _chosen(calibration, goal=goal), "digest": ""})
    return noted.model_copy(update={"digest": digest(noted)})


def digest(calibration: Calibration) -> str:
    """Over everything but itself. It notices an edit by hand; it's no signature."""
    return content_id("digest", calibration.model_dump(mode="json", exclude={"digest"}))


def table(calibration: Calibration, subject: Subject, *, hash_of: HashOf = file_sha256) -> list[Dependency]:
    """Every row that can be compared, changed ones first. hash_of: as for `facts`."""
    now, section = facts(subject, hash_of=hash_of), subject.section
    now |= _chosen(calibration, None if section.bad == "auto" else section.bad, section.goal)
    pairs = [(name, then, now[name]) for name, then in calibration.depends.items() if name in now]
    pairs.append(("file", calibration.digest, digest(calibration)))
    rows = [
        Dependency(name, then, value, SENTENCES[name].format(student=subject.name, name=name, then=then, now=value))
        for name, then, value in pairs
        if name in SENTENCES
    ]
    return sorted(rows, key=lambda row: not row.changed)


def _chosen(calibration: Calibration, bad: str | None = None, goal: float | None = None) -> dict[str, str]:
    """What calibration chooses where the config leaves it open, so that a default and its value are the same."""
    return {"bad": bad or calibration.bad_by, "goal": str(calibration.goal if goal is None else goal)}


def void(calibration: Calibration, subject: Subject, *, hash_of: HashOf = file_sha256) -> str | None:
    """Why nothing is certified any more, for a person, with what to type; None: it stands. hash_of: as for `facts`."""
    advice = f"Run `distil calibrate {subject.name}` again."
    if calibration.shape is None or not calibration.digest:
        return (
            f"The calibration of {subject.name!r} does not say for which requests its threshold holds: an earlier version wrote "
            f"it. {advice}"
        )
    rows = [row for row in table(calibration, subject, hash_of=hash_of) if row.changed]
    if not rows:
        return None
    others = f" Changed, too: {', '.join(row.name for row in rows[1:])}." if rows[1:] else ""
    return f"{rows[0].sentence}{others} {advice}"


def labels_hash(path: Path) -> str:
    """Of the labeled requests and the answers that they were compared with, in whatever order the file has them."""
    rows = sorted(
        content_id("label", [[m.to_wire() for m in e.messages], e.tools, e.tool_choice, e.response_format, e.reference])
        for e in read_examples(path)
    )
    return content_id("labels", rows)


def _judge(settings: Settings) -> str:
    """Its temperature is left out: it is asked greedily."""
    sampling = settings.judge.sampling.model_dump(mode="json", exclude_none=True, exclude={"temperature"})
    rubric = "" if settings.mode == "pairwise" else f" by {content_id('rubric', list(settings.rubric))}"
    return f"{settings.judge.model} {canonical_json(sampling)} {settings.mode}{rubric}"


def _parts(folder: Path, hash_of: HashOf) -> dict[str, str]:
    """The hash of each part of a model's folder."""
    left = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    found = {}
    for part, patterns in PARTS.items():
        names = [name for name, path in left.items() if any(Path(name).match(pattern) for pattern in patterns)]
        found[part] = _files_hash({name: left.pop(name) for name in names}, hash_of)
    return found | {"other files": _files_hash(left, hash_of)}


def _files_hash(files: dict[str, Path], hash_of: HashOf) -> str:
    if not files:
        return "none"
    return content_id("files", {name: hash_of(path) for name, path in files.items()})
