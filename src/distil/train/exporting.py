"""`distil export NAME`: a trained student as files that others load, compared with what was trained.

The conversion and the comparison are in distil.models (export.py, parity.py); this file finds the student, its adapter and some
held-out prompts in the project.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from distil.errors import UserError
from distil.models.export import Figures, export
from distil.models.load import load_tokenizer
from distil.models.render import render_prompt
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_examples
from distil.runs.manifest import read_manifest
from distil.runs.schemas.provider_job import read_provider_job
from distil.train.model_card import write_model_card

KINDS = {"safetensors": "folder", "folder": "folder", "adapter": "adapter", "gguf": "gguf"}
COMPARED_PROMPTS = 16


@dataclass(frozen=True)
class Exported:
    """An export, and how it compares with the trained student."""

    name: str
    kind: str
    path: Path
    parity: Figures = field(default_factory=dict)
    """Figures of distil.models.parity; empty for an adapter, which is copied byte for byte."""

    def rows(self) -> list[tuple[str, str]]:
        """For a table."""
        rows = [("student", self.name), ("format", self.kind), ("path", str(self.path))]
        if self.parity:
            rows += [
                ("prompts compared", str(self.parity["prompts"])),
                ("same greedy answers", f"{self.parity['greedy_equal']:.0%}"),
                ("same likeliest tokens", f"{self.parity['top_k_overlap']:.0%}"),
                ("same clear top tokens", f"{self.parity['clear_top_equal']:.1%}"),
                ("scale of the logits", f"{self.parity['scale']:.4f}"),
                ("KL to the trained student", f"{self.parity['kl']:.1e} nats per token"),
            ]
            accepted = self.parity["accepted"]
            if isinstance(accepted, list) and accepted:
                rows.append(("accepted, although", "; ".join(accepted)))
        return rows


def run(
    project: Project,
    name: str,
    *,
    kind: str = "safetensors",
    out: Path | None = None,
    dtype: str | None = None,
    accept: bool = False,
) -> Exported:
    """Exports the student `name` as safetensors (a Hugging Face folder), adapter or gguf (one file), to `out`.

    dtype: float32 | bfloat16 | float16 for a folder (default: as trained), f32 | f16 | q8_0 for GGUF (default f16).
    out: a folder; for gguf it may also be a file. accept: distributions may differ by more than rounding.
    Raises UserError when the student isn't trained or can't be exported in this
    format; WorkFailed when the export differs from the trained student, and then nothing is left at `out`.
    """
    if kind not in KINDS:
        raise UserError(f"Unknown export format {kind!r}; expected one of {', '.join(KINDS)}.")
    if read_manifest(project, "train", name) is None:
        trained = ", ".join(project.students()) or "none"
        raise UserError(
            f"There is no trained student {name!r} here (trained: {trained}). Run `distil train --as {name}` first."
        )
    if (tuned := read_provider_job(project.provider_job(name))) is not None:
        raise UserError(
            f"The weights of {name!r} are at {tuned.provider} (job {tuned.job_id}), not here. Together and Fireworks let you "
            "download "
            "them in their consoles; OpenAI and Azure do not."
        )
    model = project.model(name)
    target = out or project.stage("train", name) / ("gguf" if kind == "gguf" else "export")
    if kind == "gguf" and target.suffix != ".gguf":
        target = target / f"{name}-{dtype or 'f16'}.gguf"
    adapter = project.adapter(name) if project.adapter(name).is_dir() else None
    parity = export(
        model, target, prompts=_prompts(project, model), kind=KINDS[kind], dtype=dtype, adapter=adapter, accept=accept
    )
    if KINDS[kind] == "folder":
        write_model_card(project, name, target / "README.md")
    return Exported(name, kind, target, parity)


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
