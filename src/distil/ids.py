"""Ids are hashes of canonical JSON: the same content gives the same id, so resume is a set difference.

Not for security: 80 bits of blake2b do not collide among the records of one project.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal


def now(timespec: Literal["seconds", "milliseconds"] = "milliseconds") -> str:
    """ISO time in UTC."""
    return datetime.now(UTC).isoformat(timespec=timespec)


_encoded = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode
"""Made once: json.dumps would make an encoder for each of 200,000 records."""


def canonical_json(value: object) -> str:
    """The one JSON text of a value: keys sorted, no spaces, UTF-8 kept, NaN refused (ValueError)."""
    return _encoded(value)


def content_id(prefix: str, value: object) -> str:
    """`prefix_` + 20 hex digits of blake2b over the canonical JSON of `value`."""
    digest = hashlib.blake2b(canonical_json(value).encode("utf-8", "surrogatepass"), digest_size=10)
    return f"{prefix}_{digest.hexdigest()}"


def stable_hash(seed: int, purpose: str, key: str) -> float:
    """A number in [0, 1) that depends only on the arguments: a draw that is the same in every run."""
    return drawn(f"{seed}:{purpose}:{key}") / 2**64


def drawn(key: str, size: int = 8) -> int:
    """A whole number of `size` bytes that depends only on the key: what is ordered or chosen by it is the same in every run."""
    return int.from_bytes(hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=size).digest(), "big")


def answer_id(prompt_id: str, model: str, sampling: Mapping[str, object], sample: int) -> str:
    """The id of an answer before there is one. sampling: the teacher's own settings as JSON, without those that are not set."""
    identity = {"prompt": prompt_id, "teacher": model, "sampling": sampling, "sample": sample}
    return content_id("answer", identity)


def file_sha256(path: Path) -> str:
    """Hex sha256 of a file's bytes, read in 1 MiB pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def folder_sha256(path: Path, hash_of: Callable[[Path], str] = file_sha256) -> str:
    """Hex sha256 over the names and contents of every file below a folder, in sorted order. hash_of: gives a file's."""
    digest = hashlib.sha256()
    for item in sorted(p for p in path.rglob("*") if p.is_file()):
        digest.update(item.relative_to(path).as_posix().encode())
        digest.update(hash_of(item).encode())
    return digest.hexdigest()
