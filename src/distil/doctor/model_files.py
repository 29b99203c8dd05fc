"""Checks of the students' files: the chat template of the training, and a tokenizer that knows the script of the texts."""

from __future__ import annotations

import re
from pathlib import Path

from distil.doctor import cures
from distil.doctor.evidence import Evidence
from distil.doctor.finding import Finding, cure, ok, unknown
from distil.models.config import StudentConfig
from distil.models.hub import cached
from distil.models.saved_template import template_hash, tokenizer_hash
from distil.models.shape import model_folder
from distil.runs.schemas.notes import TrainNotes
from distil.stage_states import current_student

TOKENS_PER_BYTE, FAR_TOO_MANY = 0.4, 0.6
"""Tokens for a byte of letters (UTF-8). Tokenizers that know a language take 0.15 to 0.3 in any script, and one that knows only
English 0.36 for German, 0.41 for Russian and 0.62 for Chinese (measured with SmolLM2's); 1 is a token for every byte."""
SAMPLE = 300
"""Training rows that are read for it."""
LEAST_BYTES = 2_000
_LETTERS = re.compile(r"[^\W\d_]+")


def another_template(evidence: Evidence) -> list[Finding]:
    """Per student: its saved template and tokenizer are those of its training, and so is what distil.yaml names."""
    found: list[Finding] = []
    config = evidence.config
    current = current_student(evidence.project, config) if config is not None else None
    checked = 0
    for student, manifest in evidence.trainings.items():
        notes, folder = TrainNotes.of(manifest), evidence.project.model(student)
        changed = [
            name
            for name, then, now in (
                ("chat template", notes.template, template_hash(folder)),
                ("tokenizer", notes.tokenizer, tokenizer_hash(folder)),
            )
            if then is not None and folder.is_dir() and then != now
        ]
        checked += notes.template is not None
        if changed:
            seen = (
                f"{student}: the {' and the '.join(changed)} in its folder {'is' if len(changed) == 1 else 'are'} not"
            )
            found.append(
                Finding(
                    level="problem",
                    seen=f"{seen} what it was trained with.",
                    why="It is asked in another form than it has learned, which costs quality that no figure explains.",
                    cure=cure(commands=[f"{cures.train_again(evidence, student).commands[0]} --force"]),
                )
            )
        then = evidence.student_of(student)
        if config is not None and student == current and then is not None and (named := _named(then, config.student)):
            found.append(
                Finding(
                    level="warn",
                    seen=f"{student} was trained with another student.{' and student.'.join(named)} than distil.yaml has now.",
                    why="A student is asked in the form that it was trained with; the setting is not in use until it is trained "
                    "again.",
                    cure=cure({f"student.{key}": getattr(then, key) for key in named}, ["distil status"]),
                )
            )
    if not checked:
        return found or [unknown("No student has noted the template that it was trained with.")]
    return found or [ok(f"{checked} students have the template and the tokenizer of their training.")]


def _named(then: StudentConfig, now: StudentConfig) -> list[str]:
    """Settings of the template that differ, of the same model."""
    if then.model != now.model:
        return []
    return [key for key in ("chat_template", "template_args") if getattr(then, key) != getattr(now, key)]


def unknown_script(evidence: Evidence) -> Finding:
    """How many tokens the student's tokenizer makes of the training texts."""
    path = _tokenizer(evidence)
    if path is None:
        return unknown("The student's tokenizer is not on this machine yet.")
    texts = [
        f"{example.prompt_messages[-1].text if example.prompt_messages else ''} {example.answer}"
        for example in evidence.split("train")[:SAMPLE]
    ]
    plain = [" ".join(_LETTERS.findall(text)) for text in texts]
    size = sum(len(text.encode("utf-8", "replace")) for text in plain)
    if size < LEAST_BYTES:
        return unknown("There is too little text to count tokens of.")
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(path))
    tokens = sum(len(each.ids) for each in tokenizer.encode_batch(plain, add_special_tokens=False))
    rate = tokens / size
    letters = sum(map(len, plain))
    seen = f"The student's tokenizer makes {tokens / letters:.2f} tokens of a letter ({rate:.2f} of a byte) in training texts."
    if rate < TOKENS_PER_BYTE:
        return ok(seen)
    return Finding(
        level="problem" if rate >= FAR_TOO_MANY else "warn",
        seen=seen,
        why="It was not made for this language: texts are several times as long, slower and dearer than for another student, and "
        "its base model has seen little of it.",
        cure=cure(
            advice="Choose a student.model whose tokenizer knows the language, such as a multilingual one of that size."
        ),
    )


def _tokenizer(evidence: Evidence) -> Path | None:
    """tokenizer.json of a trained student, of the configured one, or of its copy in the hub's cache."""
    folders = [evidence.project.model(name) for name in reversed(list(evidence.trainings))]
    config = evidence.config
    ref = config.student.model if config is not None else ""
    if ref:
        folders.append(model_folder(evidence.project.placed(ref)))
    for folder in folders:
        if (folder / "tokenizer.json").is_file():
            return folder / "tokenizer.json"
    if not ref or ref.startswith(("/", ".", "bundled/")):
        return None
    return cached(ref, "tokenizer.json")
