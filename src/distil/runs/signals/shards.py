"""Shards of the signal cache: append-only files of checksummed records, one record an example, and their merged index.

Framing only: codec.py gives a payload its meaning. Any number of processes may write, each its own shards.
A shard is NAME.part while it is written (its writer holds a lock on it) and
NAME.shard when it is whole; a `.part` without a living writer is what a kill left, and `recover` keeps all whole records of it.

    record   magic 2, crc32 4, payload length 4, rows 4, token hash 8, length of the id 1, then id (UTF-8), payload; little endian
    index    index.npy: sorted by hash of the example id: (hash 8, shard 2, offset 4, length 4); index.json: the shards in order
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple, TypedDict

import numpy as np
from numpy.typing import NDArray

from distil.errors import UserError, WorkFailed
from distil.runs.jsonl import read_json, write_json

MAGIC = b"Ds"
FRAME = struct.Struct("<2sIII8sB")
CHECKED_FROM = 6  # the checksum covers everything behind itself
INDEX_TYPE = np.dtype([("key", "<u8"), ("shard", "<u2"), ("offset", "<u4"), ("length", "<u4")])
MAX_SHARD_BYTES = 2**32 - 2**28
"""Offsets are 4 bytes."""


class ShardEntry(TypedDict):
    """A shard in index.json."""

    file: str
    bytes: int
    records: int


class ShardRecord(NamedTuple):
    """One record of a shard."""

    example_id: str
    rows: int
    token_hash: bytes
    payload: memoryview


def example_key(example_id: str) -> int:
    """64 bits of blake2b of an example's id: the index's key. The id itself is in the record and is compared on reading."""
    return int.from_bytes(hashlib.blake2b(example_id.encode(), digest_size=8).digest(), "little")


def frame_record(example_id: str, rows: int, token_hash: bytes, payload: bytes) -> bytes:
    """The bytes of one record."""
    name = example_id.encode()
    if len(name) > 255:
        raise UserError(f"The example id {example_id[:40]!r}... has {len(name)} bytes, at most 255 fit. Shorten it.")
    body = FRAME.pack(MAGIC, 0, len(payload), rows, token_hash, len(name))[CHECKED_FROM:] + name + payload
    return MAGIC + struct.pack("<I", zlib.crc32(body)) + body


def parse_record(data: memoryview, offset: int, *, check: bool) -> tuple[ShardRecord, int]:
    """(record, offset behind it). Raises ValueError where the record is torn or, with `check`, where a byte has changed."""
    if offset + FRAME.size > len(data):
        raise ValueError("the record is cut off")
    magic, crc, payload_bytes, rows, token_hash, name_bytes = FRAME.unpack_from(data, offset)
    start = offset + FRAME.size
    end = start + name_bytes + payload_bytes
    if magic != MAGIC or end > len(data):
        raise ValueError("the record is cut off" if magic == MAGIC else "no record starts here")
    if check and zlib.crc32(data[offset + CHECKED_FROM : end]) != crc:
        raise ValueError("the checksum does not match")
    name = bytes(data[start : start + name_bytes]).decode("utf-8", "replace")
    return ShardRecord(name, rows, token_hash, data[start + name_bytes : end]), end


def scan(path: Path, *, check: bool) -> Iterator[tuple[ShardRecord, int, int]]:
    """Yields (record, offset, offset behind it) for each whole record from the start; stops before the first bad one.

    check: compare checksums, which reads every byte; without it only headers are read.
    """
    data = map_bytes(path)
    offset = 0
    while offset < len(data):
        try:
            record, end = parse_record(data, offset, check=check)
        except ValueError:
            return
        yield record, offset, end
        offset = end


def map_bytes(path: Path) -> memoryview:
    """The file's bytes, memory-mapped and read-only."""
    return np.memmap(path, dtype=np.uint8, mode="r").data if path.stat().st_size else memoryview(b"")


class ShardWriter:
    """Appends records to new shards. Use as a context manager; a record is safe from `kill -9` once `add` returns."""

    def __init__(self, folder: Path, name: str, shard_bytes: int) -> None:
        """name: starts the file names; files are created exclusively, so writers may share it. shard_bytes: soft limit."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._name = name
        self._limit = min(shard_bytes, MAX_SHARD_BYTES)
        self._file: IO[bytes] | None = None
        self._path = folder
        self._number = 0

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def add(self, example_id: str, rows: int, token_hash: bytes, payload: bytes) -> None:
        """Appends one record and hands it to the operating system. Raises WorkFailed when the disk is full."""
        record = frame_record(example_id, rows, token_hash, payload)
        if self._file is not None and self._file.tell() and self._file.tell() + len(record) > self._limit:
            self.close()
        if self._file is None:
            self._open_next()
        assert self._file is not None
        try:
            self._file.write(record)
            self._file.flush()
        except OSError as error:
            raise WorkFailed(
                f"Could not write {self._path}: {error.strerror}. Free some space and run again; whole records are kept."
            ) from error

    def close(self) -> None:
        """Makes the open shard durable and final."""
        if self._file is None:
            return
        file, self._file = self._file, None
        with file:
            file.flush()
            os.fsync(file.fileno())
            os.rename(self._path, self._path.with_suffix(".shard"))

    def _open_next(self) -> None:
        while True:
            self._path = self._folder / f"{self._name}-{self._number:05d}.part"
            self._number += 1
            if self._path.with_suffix(".shard").exists():
                continue
            try:
                file = self._path.open("xb")
            except FileExistsError:
                continue
            fcntl.flock(file, fcntl.LOCK_EX)
            self._file = file
            return


def recover(folder: Path) -> int:
    """Finishes what killed writers left: keeps the whole records of every `.part` nobody holds. Returns how many it finished."""
    finished = 0
    for path in sorted(folder.glob("*.part")):
        with path.open("r+b") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue  # a living writer's
            if not path.exists():
                continue  # another process has just recovered it
            whole = max((end for _, _, end in scan(path, check=True)), default=0)
            if whole == 0:
                path.unlink()
                continue
            file.truncate(whole)
            os.fsync(file.fileno())
            os.rename(path, path.with_suffix(".shard"))
            finished += 1
    return finished


def stored_examples(folder: Path) -> dict[str, bytes]:
    """Example id -> token hash of everything that is whole in finished shards; what is left to do is a set difference."""
    return {
        record.example_id: record.token_hash
        for path in sorted(folder.glob("*.shard"))
        for record, _, _ in scan(path, check=False)
    }


def merge_index(folder: Path) -> NDArray[np.void]:
    """Writes index.npy and index.json over all finished shards and returns the index. An example stored twice counts once."""
    shards = sorted(folder.glob("*.shard"))
    entries: dict[int, tuple[int, int, int, int]] = {}
    names: dict[int, str] = {}
    table = []
    for number, path in enumerate(shards):
        records = 0
        for record, start, end in scan(path, check=False):
            key = example_key(record.example_id)
            if names.setdefault(key, record.example_id) != record.example_id:
                raise WorkFailed(f"Two example ids share a hash: {names[key]!r} and {record.example_id!r}. Rename one.")
            entries[key] = (key, number, start, end - start)
            records += 1
        table.append({"file": path.name, "bytes": path.stat().st_size, "records": records})
    index = np.array(sorted(entries.values()), dtype=INDEX_TYPE)
    temporary = folder / f".index.{os.getpid()}.tmp"
    with temporary.open("wb") as file:
        np.save(file, index)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, folder / "index.npy")
    write_json(folder / "index.json", {"index_crc32": zlib.crc32(index.tobytes()), "shards": table})
    return index


def read_index(folder: Path) -> tuple[NDArray[np.void], list[ShardEntry]]:
    """(index, shards). Raises UserError when the cache is not finished or the index is damaged."""
    if not (folder / "index.json").exists() or not (folder / "index.npy").exists():
        raise UserError(
            f"{folder} holds no finished cache of a teacher's distributions (no index). Run `distil signals build`; "
            "a build that was stopped goes on where it was."
        )
    table = read_json(folder / "index.json")
    try:
        index = np.load(folder / "index.npy")
    except ValueError:
        index = np.zeros(0, dtype=INDEX_TYPE)
    if index.dtype != INDEX_TYPE or zlib.crc32(index.tobytes()) != table["index_crc32"]:
        raise UserError(
            f"{folder / 'index.npy'} is damaged. Run `distil signals build`: it rebuilds the index from the shards."
        )
    return index, table["shards"]
