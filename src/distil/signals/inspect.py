"""What is in a cache, for a person: statistics, damage, and the teacher's distribution at each token of one example.

Reads through distil.runs.signals.store only, and loads no model (a tokenizer, to show tokens as text).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from distil.errors import UserError
from distil.models.load import load_tokenizer
from distil.models.render import render
from distil.progress import bar
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_examples
from distil.runs.signals.codec import decode
from distil.runs.signals.shards import map_bytes, parse_record
from distil.runs.signals.spec import block_of_set, row_count, token_hash
from distil.runs.signals.store import SignalRows, SignalStore
from distil.signals.config import SPLITS

SAMPLED_EXAMPLES = 500
"""CacheStats that need decoding come from at most this many examples, spread over the cache."""
SHOWN_TOKENS = 5


class CacheStats(NamedTuple):
    """Numbers of a whole cache."""

    examples: int
    tokens: int
    """Stored rows: answer tokens."""
    bytes: int
    """Of every file in the folder but the manifest and the lock."""
    bytes_per_token: float
    entries: float
    """Mean number of stored ids a row; for hidden 0."""
    mass: float | None
    """Mean mass that the exact ids cover (top_k, stratified); None for sampled and hidden."""
    entropy: float | None
    """Mean entropy in nats at the first stored temperature; None where unknown."""


class VerifyResult(NamedTuple):
    """What reading every byte found."""

    examples: int
    tokens: int
    """Stored rows: answer tokens."""
    bytes: int
    faults: list[str]
    """One line for each damaged or missing record; empty = whole."""

    @property
    def ok(self) -> bool:
        return not self.faults

    def __str__(self) -> str:
        if self.ok:
            counts = f"{self.examples:,} examples, {self.tokens:,} answer tokens, {self.bytes:,} bytes"
            return f"{counts}: every checksum is right."
        shown = "\n".join(f"  {fault}" for fault in self.faults[:20])
        return (
            f"{len(self.faults):,} faults in the cache:\n{shown}\n"
            "Delete the shards named above and run `distil signals build`: it adds only what is missing."
        )


class InspectedToken(NamedTuple):
    """One row of an example."""

    position: int
    """Index t of the token that the row predicts."""
    token: str
    """That token."""
    entropy: float | None
    """In nats; None where unknown."""
    mass: float | None
    """What the exact ids cover; None for sampled."""
    top: list[tuple[str, float]]
    """(token, probability or weight), largest first."""


class InspectResult(NamedTuple):
    """A readable view of a cache."""

    spec: dict[str, object]
    figures: CacheStats
    example_ids: list[str]
    """The first few."""
    positions: list[InspectedToken]
    """Of the example that was asked for."""

    def rows(self) -> list[tuple[str, str]]:
        """(what, value) for printing the summary."""
        stats = self.figures
        lines = [(key, str(self.spec[key])) for key in ("kind", "teacher", "revision", "vocab_size", "temperatures")]
        lines += [(key, str(self.spec[key])) for key in ("k", "draws", "draw", "sets", "dtype")]
        lines += [
            ("examples", f"{stats.examples:,}"),
            ("answer tokens", f"{stats.tokens:,}"),
            ("bytes a token", f"{stats.bytes_per_token:.1f}"),
            ("ids a token", f"{stats.entries:.1f}"),
            ("mean mass covered", _number(stats.mass, 4)),
            ("mean entropy (nats)", _number(stats.entropy, 3)),
        ]
        return lines

    def __str__(self) -> str:
        text = aligned(self.rows())
        if not self.positions:
            return f"{text}\n\nsome examples: {', '.join(self.example_ids)}"
        table = [("at", "token", "entropy", "covered", "the teacher's tokens")]
        for row in self.positions:
            top = "  ".join(f"{token!r} {probability:.3f}" for token, probability in row.top)
            table.append((str(row.position), repr(row.token), _number(row.entropy, 3), _number(row.mass, 4), top))
        widths = [max(len(line[column]) for line in table) for column in range(4)]
        padded = [[*(cell.ljust(w) for cell, w in zip(line, widths, strict=False)), line[4]] for line in table]
        return text + "\n\n" + "\n".join("  ".join(line) for line in padded)


def aligned(rows: Sequence[tuple[str, str]]) -> str:
    """Two columns of text."""
    width = max(len(key) for key, _ in rows)
    return "\n".join(f"{key.ljust(width)}  {value}" for key, value in rows)


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _finite(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def measure(store: SignalStore) -> CacheStats:
    """CacheStats of a cache. Bytes and rows are exact; what needs decoding is a mean over some examples."""
    rows = sum(record.rows for record in store.records())
    files = [path for path in store.folder.iterdir() if path.is_file() and path.name not in ("manifest.json", ".lock")]
    size = sum(path.stat().st_size for path in files)
    entries, mass, entropy = _means(store)
    return CacheStats(len(store), rows, size, size / max(rows, 1), entries, mass, entropy)


def check_cache(store: SignalStore) -> VerifyResult:
    """Every record's checksum and place; shards that are gone or of another length; rows that do not fit their payload."""
    faults = []
    for shard in store.shards:
        path = store.folder / shard["file"]
        if not path.exists():
            faults.append(f"{shard['file']}: gone")
        elif path.stat().st_size != shard["bytes"]:
            faults.append(f"{shard['file']}: {path.stat().st_size:,} bytes, {shard['bytes']:,} expected")
    rows = total = 0
    order = np.lexsort((store.index["offset"], store.index["shard"]))
    maps: dict[str, memoryview] = {}
    with bar("verifying", len(order), "examples") as running:
        for entry in store.index[order]:
            name = store.shards[int(entry["shard"])]["file"]
            if (store.folder / name).exists():
                data = maps.setdefault(name, map_bytes(store.folder / name))
                try:
                    record, _ = parse_record(data, int(entry["offset"]), check=True)
                    rows += record.rows
                    total += int(entry["length"])
                    _check_payload(store, record.payload, record.rows)
                except (ValueError, struct.error) as error:
                    faults.append(f"{name} at byte {int(entry['offset']):,}: {error}")
            running.advance()
    return VerifyResult(len(store), rows, total, faults)


def table(project: Project, store: SignalStore, example_id: str | None) -> InspectResult:
    """CacheStats, and the positions of one example."""
    positions = list(_positions(project, store, example_id)) if example_id else []
    ids = [record.example_id for record in store.records(10)]
    return InspectResult(store.spec.model_dump(mode="json"), measure(store), ids, positions)


def exact_mass(rows: SignalRows) -> NDArray[np.floating]:
    """(R,) mass of the ids that are stored exactly (top_k, stratified); nan for sampled, whose every weight is an estimate."""
    if rows.log_tail is None:
        return np.full(int(rows.row_counts.sum()), np.nan)
    return -np.expm1(rows.log_tail)


def _check_payload(store: SignalStore, payload: memoryview, rows: int) -> None:
    spec = store.spec
    if spec.kind == "hidden":
        width = 4 if spec.dtype == "float32" else 2
        if len(payload) != rows * spec.hidden_size * width:
            raise ValueError(f"{len(payload)} bytes do not hold {rows} rows of {spec.hidden_size} values")
        return
    for number in range(spec.sets):
        decode([block_of_set(payload, number, spec.sets)], [rows], spec.layout)


def _means(store: SignalStore) -> tuple[float, float | None, float | None]:
    if store.spec.kind == "hidden" or not len(store):
        return 0.0, None, None
    ids = [record.example_id for record in store.records(SAMPLED_EXAMPLES)]
    rows = store.read(ids, temperature=store.spec.temperatures[0])
    if rows.ids is None or rows.entropy is None or not len(rows.ids):
        return 0.0, None, None
    entropies = rows.entropy[~np.isnan(rows.entropy)]
    entropy = float(entropies.mean()) if len(entropies) else None
    return float((rows.ids >= 0).sum(axis=1).mean()), _finite(exact_mass(rows).mean()), entropy


def _positions(project: Project, store: SignalStore, example_id: str) -> Iterator[InspectedToken]:
    record = store.record(example_id)
    if store.spec.kind == "hidden":
        raise UserError(
            "A cache of kind hidden holds no probabilities to show (they are made with the head while training). "
            "Run `distil signals inspect` without an example to see its figures."
        )
    if not record.rows:
        return
    tokenizer = load_tokenizer(store.spec.tokenizer_from)
    files = [project.split(split) for split in SPLITS if project.split(split).exists()]
    example = next((e for file in files for e in read_examples(file) if e.id == example_id), None)
    if example is None:
        raise UserError(
            f"The example {example_id} is cached but no longer in work/curate, so its tokens cannot be shown. Pick another."
        )
    rendered = render(tokenizer, example.messages, tools=example.tools)
    if token_hash(rendered.input_ids, rendered.answer_mask) != record.token_hash:
        raise UserError(
            f"The example {example_id} has other token ids now than when it was cached. Build the cache again."
        )
    assert row_count(rendered.answer_mask) == record.rows
    rows = store.read([example_id], temperature=store.spec.temperatures[0])
    positions = [t for t in range(1, len(rendered.input_ids)) if rendered.answer_mask[t]]
    assert rows.ids is not None and rows.entropy is not None
    weights = np.exp(rows.log_probs) if rows.log_probs is not None else rows.weights
    assert weights is not None
    mass = exact_mass(rows)
    for i, position in enumerate(positions):
        best = [j for j in np.argsort(-weights[i])[:SHOWN_TOKENS] if rows.ids[i, j] >= 0]
        token = str(tokenizer.decode([rendered.input_ids[position]]))
        top = [(str(tokenizer.decode([int(rows.ids[i, j])])), float(weights[i, j])) for j in best]
        yield InspectedToken(position, token, _finite(rows.entropy[i]), _finite(mass[i]), top)
