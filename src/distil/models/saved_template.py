"""What a saved model's folder says about its chat template and tokenizer, from its files alone: nothing is loaded."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from distil.ids import file_sha256


def saved_template(folder: Path) -> str | None:
    """The text of the chat template in a Hugging Face folder; None where it has none."""
    own = folder / "chat_template.jinja"
    if own.is_file():
        return own.read_text(encoding="utf-8")
    try:
        said = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    template = said.get("chat_template") if isinstance(said, dict) else None
    return template if isinstance(template, str) else None


def template_hash(folder: Path) -> str | None:
    """Equal for the same template text."""
    text = saved_template(folder)
    return None if text is None else hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def tokenizer_hash(folder: Path) -> str | None:
    """Equal for the same tokenizer.json; None where there is none."""
    path = folder / "tokenizer.json"
    return file_sha256(path) if path.is_file() else None
