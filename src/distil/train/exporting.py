"""`distil export NAME`: a trained student as files that others load, compared with what was trained.

The conversion and comparison are in distil.models (export.py, parity.py); this finds the student, its adapter and some held-out
prompts in the project. Called by the command line.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from distil.errors import UserError
from distil.models.export import export
from distil.models.load import load_tokenizer
from distil.models.render import render_prompt
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_examples
from distil.runs.manifest import read_manifest

KINDS = {"safetensors": "folder", "folder": "folder", "adapter": "adapter", "gguf": "gguf"}
COMPARED_PROMPTS = 16


@dataclass(frozen=True)
class Exported:
    """Where an export lies, and how it compares."""

    name: str
    kind: str
    path: Path
    parity: dict[str, Any] = field(default_factory=dict)
    """Figures of distil.models.parity; empty for an adapter, which is copied byte for byte."""

    def rows(self) -> list[tuple[str, str]]:
        """For a table."""
        found = self.parity
        shown = [("student", self.name), ("format", self.kind), ("path", str(self.path))]
        if found:
            shown += [
                ("prompts compared", str(found["prompts"])),
                ("same greedy answers", f"{found['greedy_equal']:.0%}"),
                ("same likeliest tokens", f"{found['top_k_overlap']:.0%}"),
                ("KL to the trained student", f"{found['kl']:.1e} nats a token"),
            ]
        return shown


def run(
    project: Project, name: str, *, kind: str = "safetensors", out: Path | None = None, dtype: str | None = None
) -> Exported:
    """Exports the student `name` as safetensors (a Hugging Face folder), adapter or gguf (one file), to `out`.

    dtype: float32 | bfloat16 | float16 of a folder (default: as trained), f32 | f16 | q8_0 of a GGUF file (default f16). `out` is
    a folder; for gguf also a file's name. Raises UserError when the student isn't trained or the format can't be made;
    WorkFailed when the export isn't the trained student, and then nothing is left at `out`.
    """
    if kind not in KINDS:
        raise UserError(f"The export format {kind!r} is not known; expected one of {', '.join(KINDS)}.")
    if read_manifest(project, "train", name) is None:
        known = ", ".join(project.students()) or "none"
        raise UserError(
            f"There is no trained student {name!r} here (trained: {known}). Run `distil train --as {name}` first."
        )
    model = project.model(name)
    target = out or project.stage("train", name) / ("gguf" if kind == "gguf" else "export")
    if kind == "gguf" and target.suffix != ".gguf":
        target = target / f"{name}-{dtype or 'f16'}.gguf"
    adapter = project.adapter(name)
    figures = export(
        model,
        target,
        prompts=_prompts(project, model),
        kind=KINDS[kind],
        dtype=dtype,
        adapter=adapter if adapter.is_dir() else None,
    )
    return Exported(name, kind, target, figures)


def _prompts(project: Project, model: Path) -> list[list[int]]:
    """Held-out prompts, else training ones."""
    tokenizer = load_tokenizer(str(model))
    for split in ("test", "validation", "train"):
        path = project.split(split)
        if path.exists():
            examples = list(read_examples(path))[:COMPARED_PROMPTS]
            if examples:
                return [render_prompt(tokenizer, e.prompt_messages, tools=e.tools) for e in examples]
    return []
