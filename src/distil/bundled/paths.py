"""Where the bundled checkpoints are: plain Hugging Face folders inside the installed package. Loads nothing."""

from __future__ import annotations

from pathlib import Path

MODELS = Path(__file__).parent / "models"
"""Holds teacher/ and student/: Llama architecture, safetensors, one tokenizer with a chat template. The student is a base with
general skills, never trained on the bundled task."""
