"""The cache of a teacher's distributions, as training reads it: open, check, read a batch. numpy only, no torch.

`signals/` writes it (with shards.ShardWriter), `train/` and `signals/` read it:

    store = SignalStore.open(project.signals, tokenizer=fingerprint, template=fingerprint)
    store.allow(divergence="forward_kl", temperature=2.0)                # before the first step: can this cache serve it?
    store.require((example_id, token_ids, answer_mask) for ...)          # before the first step: is it about these tokens?
    rows = store.read(example_ids, temperature=2.0, epoch=0)             # in the loop: SignalRows of a whole batch

The rows of several examples follow each other in the requested order; spec.py defines which positions are rows.
Not a loss and not a tensor: `train/` turns `SignalRows` into targets of `distil.objectives.targets`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from distil.errors import UserError
from distil.runs.signals.codec import Floats, Ints, Kind, SparseRows, decode
from distil.runs.signals.shards import ShardRecord, example_key, map_bytes, parse_record, read_index
from distil.runs.signals.spec import SignalSpec, block_of_set, read_spec, token_hash


@dataclass(frozen=True)
class SignalRows:
    """The teacher at R positions: the rows of several examples one after another. Fields that a kind does not have are None."""

    kind: Kind
    temperature: float
    """Of everything below; for hidden, the requested temperature."""
    row_counts: Ints
    """(B,) rows of each requested example."""
    ids: Ints | None = None
    """(R, K) ascending; -1 pads at the end and is never first."""
    log_probs: Floats | None = None
    """(R, K) top_k: log p_T, -inf where the id is -1 -> TopKTargets."""
    log_tail: Floats | None = None
    """(R,) top_k, stratified: log of the mass outside the exact ids, at T."""
    weights: Floats | None = None
    """(R, K) sampled, stratified: w with E[w] = p_T; 0 where the id is -1 -> SampledTargets."""
    entropy: Floats | None = None
    """(R,) nats, of p_T over the whole vocabulary; nan = unknown (an API's top_logprobs). None for hidden."""
    hidden: NDArray[np.generic] | None = None
    """(R, H_t) float16, float32, or uint16 that holds bfloat16 bits (view it as torch.bfloat16) -> DenseTargets with `head()`."""


class SignalStore:
    """A finished cache, memory-mapped. Cheap to open; may be pickled and sent to data-loading workers."""

    def __init__(self, folder: Path) -> None:
        """Use `SignalStore.open`, which also checks that the cache belongs to your tokenizer."""
        self.folder = folder
        self.spec = read_spec(folder)
        self.index, self.shards = read_index(folder)
        self._maps: dict[int, memoryview] = {}

    @classmethod
    def open(cls, folder: Path, *, tokenizer: str | None = None, template: str | None = None) -> SignalStore:
        """folder: project.signals; tokenizer, template: fingerprints of what training uses (None = not checked).

        Raises UserError when the cache is missing, unfinished, damaged, or made with another tokenizer or chat template.
        """
        store = cls(folder)
        checks = (("tokenizer", store.spec.tokenizer, tokenizer), ("chat template", store.spec.template, template))
        for what, found, expected in checks:
            if expected is not None and found != expected:
                raise UserError(
                    f"The cached distributions in {folder} were made with another {what} (fingerprint {found}) than the "
                    f"student's ({expected}), so their rows belong to other tokens. Remove {folder} and run "
                    "`distil signals build` with this student, or set train.signal: online."
                )
        return store

    def __len__(self) -> int:
        return len(self.index)

    def __contains__(self, example_id: str) -> bool:
        return self._find(example_id) is not None

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_maps": {}}

    def head(self) -> tuple[NDArray[np.generic], NDArray[np.float32] | None]:
        """hidden: (weight (V, H_t), bias (V,) float32 or None), memory-mapped; uint16 holds bfloat16 bits, see `SignalRows`."""
        bias = self.folder / "head_bias.npy"
        return np.load(self.folder / "head.npy", mmap_mode="r"), np.load(bias) if bias.exists() else None

    def allow(self, *, divergence: str, temperature: float) -> None:
        """Raises UserError when this cache cannot serve the divergence or the temperature. Call it before training."""
        kind, stored = self.spec.kind, self.spec.temperatures
        if kind in ("sampled", "stratified") and divergence != "forward_kl":
            raise UserError(
                f"The cache in {self.folder} is of kind {kind}, which is unbiased for forward_kl only (the one divergence "
                f"that is linear in the teacher's probabilities); found divergence: {divergence}. Set train.divergence: "
                "forward_kl, or build signals of kind hidden (exact for all) or top_k (with the tail as one outcome)."
            )
        if kind != "hidden" and _index_of(stored, temperature) is None:
            available = ", ".join(f"{value:g}" for value in stored)
            add, set_to = f"add {temperature:g} to signals.temperatures", f"set signals.temperature: {temperature:g}"
            fix = add if kind == "top_k" else set_to
            raise UserError(
                f"The cache in {self.folder} (kind {kind}) holds temperature {available}; training needs {temperature:g}. "
                f"Set train.temperature to one of these, or {fix}, remove the folder and run `distil signals build` again."
            )

    def require(self, examples: Iterable[tuple[str, Sequence[int], Sequence[bool]]]) -> int:
        """Checks (example id, token ids, answer mask) of all examples before the first step; returns how many rows they have.

        Raises UserError when an example is missing or was cached for other token ids or another answer mask.
        """
        missing, changed, rows, total = [], [], 0, 0
        for example_id, token_ids, answer_mask in examples:
            total += 1
            record = self._record(example_id)
            if record is None:
                missing.append(example_id)
            elif record.token_hash != token_hash(token_ids, answer_mask):
                changed.append(example_id)
            else:
                rows += record.rows
        if missing:
            raise UserError(
                f"{len(missing):,} of {total:,} examples are not in the cache {self.folder} (the first: {missing[0]}). If the "
                "data was curated again since, or training uses another split, run `distil signals build`: it adds them. If they "
                f"were too long for signals.max_length ({self.spec.max_length}) or the teacher's context, set train.max_length "
                "to that and train.too_long: drop."
            )
        if changed:
            raise UserError(
                f"{len(changed):,} of {total:,} examples have other token ids than when the cache {self.folder} was made (the "
                f"first: {changed[0]}): the rows would teach the wrong tokens. Another max_length, system prompt or chat "
                "template is in use. Restore it, or remove the folder and run `distil signals build` again."
            )
        return rows

    def read(self, example_ids: Sequence[str], *, temperature: float, epoch: int = 0) -> SignalRows:
        """The rows of these examples, in this order (an id may repeat), at `temperature`; `epoch` picks the set of draws.

        Vectorized over the whole batch: about 1 us a row at 12 entries. Raises UserError for an unknown id, or for a
        temperature that is not stored.
        """
        records = [self.record(example_id) for example_id in example_ids]
        counts = np.array([record.rows for record in records], dtype=np.int64)
        if self.spec.kind == "hidden":
            kind = {"float16": "<f2", "bfloat16": "<u2", "float32": "<f4"}[self.spec.dtype]
            joined = np.frombuffer(b"".join(record.payload for record in records), dtype=kind)
            return SignalRows("hidden", temperature, counts, hidden=joined.reshape(-1, self.spec.hidden_size))
        if _index_of(self.spec.temperatures, temperature) is None:
            self.allow(divergence="forward_kl", temperature=temperature)
        number = epoch % self.spec.sets
        blocks = [block_of_set(record.payload, number, self.spec.sets) for record in records]
        rows = decode(blocks, counts.tolist(), self.spec.layout)
        return to_signal_rows(self.spec, rows, counts, temperature)

    def records(self, limit: int | None = None) -> Iterator[ShardRecord]:
        """The stored records in disk order; with `limit`, that many of them, evenly spread."""
        order = np.lexsort((self.index["offset"], self.index["shard"]))
        if limit is not None and limit < len(order):
            order = order[np.linspace(0, len(order) - 1, limit).astype(np.int64)]
        for i in order:
            yield self._at(self.index[i])

    def record(self, example_id: str) -> ShardRecord:
        """The stored record of one example. Raises UserError when it is unknown."""
        record = self._record(example_id)
        if record is None:
            raise UserError(
                f"The example {example_id} is not in the cache {self.folder} of {len(self):,} examples. Run `distil signals "
                "build`, which adds what is missing; `distil signals inspect` lists some ids."
            )
        return record

    def _record(self, example_id: str) -> ShardRecord | None:
        place = self._find(example_id)
        record = None if place is None else self._at(self.index[place])
        return record if record is not None and record.example_id == example_id else None

    def _find(self, example_id: str) -> int | None:
        key = np.uint64(example_key(example_id))
        place = int(np.searchsorted(self.index["key"], key))
        return place if place < len(self.index) and self.index["key"][place] == key else None

    def _at(self, entry: np.void) -> ShardRecord:
        number = int(entry["shard"])
        if number not in self._maps:
            self._maps[number] = map_bytes(self.folder / self.shards[number]["file"])
        try:
            return parse_record(self._maps[number], int(entry["offset"]), check=False)[0]
        except ValueError as error:
            raise UserError(
                f"{self.folder / self.shards[number]['file']} is damaged at byte {int(entry['offset'])}: {error}. "
                "Run `distil signals verify` for the whole list, delete the damaged shard and run `distil signals build`."
            ) from None


def _index_of(temperatures: Sequence[float], temperature: float) -> int | None:
    return next((i for i, stored in enumerate(temperatures) if abs(stored - temperature) < 1e-6), None)


def to_signal_rows(spec: SignalSpec, rows: SparseRows, counts: Ints, temperature: float) -> SignalRows:
    """Stored numbers to probabilities at one temperature. With o = log(tail / kept), kept = 1/(1 + e^o), tail = 1/(1 + e^-o):

    log Z_T = logsumexp over the kept of z/T, plus log(1 + e^o): both the kept probabilities and the tail keep their relative
    precision however small the tail is.
    """
    column = _index_of(spec.temperatures, temperature)
    if column is None:
        raise ValueError(f"temperature {temperature} is not one of {spec.temperatures}")
    entropy = rows.entropy[:, column]
    present = rows.ids >= 0
    if spec.kind == "sampled":
        weights = np.where(present, rows.values / np.float32(spec.draws), np.float32(0))
        return SignalRows("sampled", temperature, counts, rows.ids, weights=weights, entropy=entropy)
    assert rows.tail_odds is not None
    odds = rows.tail_odds[:, column]
    log_tail = -np.logaddexp(np.float32(0), -odds)
    log_kept = -np.logaddexp(np.float32(0), odds)
    exact = present if spec.kind == "top_k" else present & (rows.values <= 0)
    # A stratified cache stores log p at its temperature.
    scale = np.float32(temperature if spec.kind == "top_k" else 1.0)
    relative = np.where(exact, rows.values / scale, -np.inf).astype(np.float32)
    log_probs = relative - _log_sum_exp(relative)[:, None] + log_kept[:, None]
    if spec.kind == "top_k":
        return SignalRows("top_k", temperature, counts, rows.ids, log_probs, log_tail, entropy=entropy)
    drawn = np.where(present & ~exact, rows.values, np.float32(0))
    share = np.exp(log_tail)[:, None] * drawn / np.maximum(drawn.sum(axis=1, keepdims=True), 1)
    weights = np.where(exact, np.exp(log_probs), share).astype(np.float32)
    return SignalRows("stratified", temperature, counts, rows.ids, log_tail=log_tail, weights=weights, entropy=entropy)


def _log_sum_exp(values: Floats) -> Floats:
    top = values.max(axis=1)
    total: Floats = top + np.log(np.exp(values - top[:, None]).sum(axis=1))
    return total
