"""The bytes that each token id stands for, exactly, for byte-level BPE and for SentencePiece with byte fallback.

`decode` cannot give them: a token may be half a character.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING

from distil.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

BYTE_PIECE = re.compile(r"<0x([0-9A-Fa-f]{2})>")


def bytes_of_ids(tokenizer: PreTrainedTokenizerBase, *, exact: bool = False) -> dict[int, bytes]:
    """id -> bytes of every token; added and control tokens stand for their own text.

    exact: raise UserError for a tokenizer of another kind, whose tokens are otherwise read like SentencePiece's.
    """
    kinds = _decoder_kinds(tokenizer)
    byte_level = "ByteLevel" in kinds
    if exact and not (byte_level or kinds & {"ByteFallback", "Metaspace"}):
        raise UserError(
            f"The student's tokenizer ({type(tokenizer).__name__}) is neither byte-level nor SentencePiece, so an API's tokens "
            "cannot be mapped to its ids exactly. Train on the answers (train.method: sft), or use a teacher that runs here."
        )
    added = {int(index): str(token).encode() for index, token in tokenizer.added_tokens_decoder.items()}
    spell = _from_alphabet if byte_level else _from_piece
    return {index: spell(token) for token, index in tokenizer.get_vocab().items() if index not in added} | added


def ids_of_bytes(table: Mapping[int, bytes], special: set[int]) -> dict[bytes, int]:
    """bytes -> id; where several ids stand for the same bytes, the lowest ordinary one."""
    ids: dict[bytes, int] = {}
    for index in sorted(table, key=lambda index: (index in special, index)):
        ids.setdefault(table[index], index)
    return ids


def _decoder_kinds(tokenizer: PreTrainedTokenizerBase) -> set[str]:
    """The types of the tokenizer's decoder and of the decoders inside it."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    decoder = (json.loads(backend.to_str()).get("decoder") if backend is not None else None) or {}
    return {decoder.get("type"), *(part.get("type") for part in decoder.get("decoders", []))}


@cache
def _byte_alphabet() -> dict[str, int]:
    """GPT-2's printable stand-ins for bytes (Radford et al. 2019): printable Latin-1 as itself, the others from U+0100 on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(0x100 + i): byte for i, byte in enumerate(others)}


def _from_alphabet(token: str) -> bytes:
    alphabet = _byte_alphabet()
    if all(character in alphabet for character in token):
        return bytes(alphabet[character] for character in token)
    return token.encode()


def _from_piece(token: str) -> bytes:
    byte = BYTE_PIECE.fullmatch(token)
    return bytes([int(byte[1], 16)]) if byte else token.replace("\u2581", " ").encode()
