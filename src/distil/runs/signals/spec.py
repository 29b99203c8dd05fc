"""What a cache of signals is: its spec (spec.json), which rows an example has, and how records are keyed to token ids.

The alignment is fixed here, once:

    An example is token ids x[0..L) with an answer mask m[0..L). It has one row for each t >= 1 with m[t], in ascending t:
    the teacher's distribution of x[t] given x[0..t), which is the model's output at position t - 1. So row i belongs to the
    i-th label that is not -100 after the usual shift.

No arrays here: codec.py turns them into bytes, store.py reads them.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from distil.errors import UserError
from distil.records import Record
from distil.runs.jsonl import read_json, write_json
from distil.runs.signals.codec import Kind, Layout

FORMAT = 1


class SignalSpec(Record):
    """What a cache is and what it was made from: spec.json, written before the first shard. Another spec is another cache."""

    format: int = FORMAT
    """Of the files."""
    kind: Kind
    """top_k | sampled | stratified | hidden."""
    teacher: str
    """The model as the config names it."""
    revision: str
    """Hash of the teacher's weights, or for an API the model names that it answered with."""
    tokenizer: str
    """distil.models.fingerprint.tokenizer_fingerprint of the tokenizer that made the token ids."""
    tokenizer_from: str = ""
    """The model whose tokenizer that was, as `distil.models.load.load_tokenizer` takes it."""
    template: str
    """distil.models.fingerprint.template_fingerprint of it."""
    vocab_size: int
    """V: rows of the teacher's head."""
    temperatures: tuple[float, ...]
    """top_k: the grid of temperatures with a stored normalizer. sampled, stratified: the one that was drawn at. hidden: ()."""
    k: int = 0
    """top_k, stratified: exact entries a row, at most."""
    draws: int = 0
    """sampled: N draws a row; stratified: m draws from the tail."""
    draw: Literal["independent", "systematic"] = "independent"
    """How draws were made; both are unbiased."""
    sets: int = 1
    """Independent sets of draws a row; epoch e reads set e mod sets."""
    dtype: Literal["float16", "float32", "bfloat16"] = "float16"
    """top_k: of the logits; hidden: of the hidden states."""
    hidden_size: int = 0
    """hidden: H_t."""
    logit_scale: float = 1.0
    """hidden: multiplies the head's logits."""
    logit_softcap: float | None = None
    """hidden: cap * tanh(logits / cap), after the scale."""
    max_length: int | None = None
    """Examples were cut to this many tokens; None = never."""
    seed: int = 0
    """Of the draws."""

    @property
    def layout(self) -> Layout:
        """What the codec needs."""
        return Layout(
            kind=self.kind,
            id_bits=max(1, (self.vocab_size - 1).bit_length()),
            temperatures=len(self.temperatures),
            value_bits=32 if self.dtype == "float32" else 16,
        )


def token_hash(token_ids: Sequence[int], answer_mask: Sequence[bool]) -> bytes:
    """8 bytes of blake2b over the token ids and the answer mask: rows are valid for exactly these."""
    digest = hashlib.blake2b(np.asarray(token_ids, dtype="<i4").tobytes(), digest_size=8)
    digest.update(np.packbits(np.asarray(answer_mask, dtype=bool)).tobytes())
    return digest.digest()


def row_count(answer_mask: Sequence[bool]) -> int:
    """Rows of an example: answer tokens that have a token before them."""
    return int(np.count_nonzero(np.asarray(answer_mask, dtype=bool)[1:]))


def read_spec(folder: Path) -> SignalSpec:
    """The spec of a cache. Raises UserError when there is none or when a newer Distil wrote it."""
    if not (folder / "spec.json").exists():
        raise UserError(
            f"{folder} holds no cached distributions. Run `distil signals build`, or set train.signal: online."
        )
    raw = read_json(folder / "spec.json")
    if raw.get("format") != FORMAT:
        raise UserError(
            f"{folder} is a cache of format {raw.get('format')}, and this version of Distil reads format {FORMAT}. "
            "Remove the folder and run `distil signals build` again."
        )
    return SignalSpec.model_validate(raw)


def write_spec(folder: Path, spec: SignalSpec) -> None:
    """Writes spec.json, atomically."""
    write_json(folder / "spec.json", spec.model_dump(mode="json"))


def join_sets(blocks: Sequence[bytes]) -> bytes:
    """The payload of a sparse record: one block, or several independent sets of draws behind a table of their lengths."""
    if len(blocks) == 1:
        return blocks[0]
    return struct.pack(f"<{len(blocks)}I", *(len(block) for block in blocks)) + b"".join(blocks)


def block_of_set(payload: memoryview, number: int, sets: int) -> memoryview:
    """The inverse of `join_sets` for one set."""
    if sets == 1:
        return payload
    lengths = struct.unpack_from(f"<{sets}I", payload)
    start = 4 * sets + sum(lengths[:number])
    return payload[start : start + lengths[number]]
