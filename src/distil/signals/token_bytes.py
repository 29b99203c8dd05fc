"""Which bytes each token id stands for, exactly, for the two families of tokenizers that have such a mapping.

`decode` cannot say it: a token may be half a character. Called by api.py, which meets tokens as bytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from distil.errors import UserError


def bytes_of_ids(tokenizer: Any) -> dict[int, bytes]:
    """id -> bytes for a byte-level BPE (GPT-2 and its heirs) or a SentencePiece-like tokenizer with byte fallback.

    Raises UserError for any other kind.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    decoder = (json.loads(backend.to_str()).get("decoder") if backend is not None else None) or {}
    kinds = {decoder.get("type"), *(part.get("type") for part in decoder.get("decoders", []))}
    added = {int(id_): str(token).encode() for id_, token in tokenizer.added_tokens_decoder.items()}
    if "ByteLevel" in kinds:
        alphabet = _byte_alphabet()
        found = {
            id_: _from_alphabet(token, alphabet) for token, id_ in tokenizer.get_vocab().items() if id_ not in added
        }
    elif kinds & {"ByteFallback", "Metaspace"}:
        found = {id_: _from_piece(token) for token, id_ in tokenizer.get_vocab().items() if id_ not in added}
    else:
        raise UserError(
            f"The student's tokenizer ({type(tokenizer).__name__}) is neither byte-level nor SentencePiece, so an API's tokens "
            "cannot be mapped to its ids exactly. Train on the answers (train.method: sft), or use a teacher that runs here."
        )
    return found | added


def ids_of_bytes(of_ids: Mapping[int, bytes], special: set[int]) -> dict[bytes, int]:
    """bytes -> id; where several ids stand for the same bytes, the lowest ordinary one."""
    found: dict[bytes, int] = {}
    for id_ in sorted(of_ids, key=lambda id_: (id_ in special, id_)):
        found.setdefault(of_ids[id_], id_)
    return found


def _byte_alphabet() -> dict[str, int]:
    """GPT-2's printable stand-ins for bytes: printable Latin-1 stands for itself, the rest for U+0100 onwards, in order."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in plain]
    return {chr(byte): byte for byte in plain} | {chr(0x100 + i): byte for i, byte in enumerate(others)}


def _from_alphabet(token: str, alphabet: Mapping[str, int]) -> bytes:
    if all(character in alphabet for character in token):
        return bytes(alphabet[character] for character in token)
    return token.encode()


def _from_piece(token: str) -> bytes:
    if len(token) == 6 and token.startswith("<0x") and token.endswith(">"):
        return bytes([int(token[3:5], 16)])
    return token.replace("\u2581", " ").encode()
