"""Where the bundled checkpoints lie: plain Hugging Face folders inside the installed package. Loads nothing."""

from __future__ import annotations

from pathlib import Path

MODELS = Path(__file__).parent / "models"


def teacher_path() -> Path:
    """Folder of the bundled teacher (Llama architecture, safetensors, tokenizer with chat template)."""
    return MODELS / "teacher"


def student_path() -> Path:
    """Folder of the bundled student base: general skills, never trained on the bundled task. Same tokenizer."""
    return MODELS / "student"
