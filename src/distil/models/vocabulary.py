"""Do two models have the same tokenizer? From their tokenizer.json alone, without loading either."""

from __future__ import annotations

import json
from pathlib import Path


def same_vocabulary(a: Path, b: Path) -> bool | None:
    """Whether one's tokens are the other's, with the same ids (families pad and extend theirs). None = a file is missing."""
    first, second = _tokens(a), _tokens(b)
    if first is None or second is None:
        return None
    if len(first) > len(second):
        first, second = second, first
    shared = sum(second.get(token) == number for token, number in first.items())
    return shared >= 0.99 * len(first)


def _tokens(folder: Path) -> dict[str, int] | None:
    file = folder / "tokenizer.json"
    if not file.is_file():
        return None
    vocabulary = json.loads(file.read_text(encoding="utf-8"))["model"].get("vocab")
    if isinstance(vocabulary, list):  # Unigram: [token, score] in order
        return {str(entry[0]): number for number, entry in enumerate(vocabulary)}
    return dict(vocabulary) if isinstance(vocabulary, dict) else None
