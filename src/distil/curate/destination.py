"""Where an export goes: files of others are never overwritten, an earlier export is replaced as a whole.

A marker in the folder (.distil-export.json) names what was written there, with hashes; a file that it does not name, or that has
changed since, is somebody's work.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from pydantic import Field

from distil.errors import UserError, WorkFailed
from distil.ids import file_sha256
from distil.records import Record
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_document, write_json

MARKER = ".distil-export.json"
Writer = Callable[[Path], object]
"""Writes one file at the given path."""


class Marker(Record):
    """What Distil wrote into a folder."""

    format: str
    """The format's name."""
    made: str
    """ISO time, UTC."""
    files: dict[str, list[str]]
    """Name -> sha256 of what may be there: one, or two while it is being replaced."""
    left_out: dict[str, list[str]] = Field(default_factory=dict)
    """Reason -> ids of the prompts whose examples the format can't hold."""


def place(project: Project, form: str, out: Path | None) -> Path:
    """The folder of an export. Raises UserError for a file, and for a folder in which Distil keeps something else."""
    home = project.stage("curate") / "export"
    folder = (out or home / form).resolve()
    if folder.exists() and not folder.is_dir():
        raise UserError(f"--out {out}: found a file, expected a folder. Name a new one, such as --out {form}-data.")
    work = project.root / "work"
    if folder.is_relative_to(work) and not folder.is_relative_to(home) and folder != home:
        raise UserError(f"--out {out}: this is where Distil keeps its own files. Name a folder outside of {work}.")
    return folder


def write_export(folder: Path, marker: Marker, writers: Mapping[str, Writer], *, ours: bool) -> None:
    """Writes all files, or none; then removes what an earlier export left there. `marker.files` is filled in here.

    ours: the folder is Distil's own, so that files without a marker may be replaced. Raises UserError when a file of others is in
    the way, WorkFailed when the disk is full.
    """
    before = _read(folder)
    for name in writers:
        _require_ours(folder / name, before, ours=ours)
    building = folder / f".{os.getpid()}.building"
    try:
        building.mkdir(parents=True, exist_ok=True)
        hashes = {}
        for name, write in writers.items():
            write(building / name)
            hashes[name] = file_sha256(building / name)
        known = before.files if before else {}
        both = {
            name: [*known.get(name, []), *([hashes[name]] if name in hashes else [])] for name in {**known, **hashes}
        }
        _note(folder, marker.model_copy(update={"files": both}))
        for name in writers:
            os.replace(building / name, folder / name)
        for name in set(known) - set(writers):
            if (folder / name).exists() and file_sha256(folder / name) in known[name]:
                (folder / name).unlink()
        _note(folder, marker.model_copy(update={"files": {name: [sha] for name, sha in hashes.items()}}))
    except OSError as error:
        raise WorkFailed(f"Could not write {folder}: {error.strerror}. Free some space and run again.") from error
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _read(folder: Path) -> Marker | None:
    path = folder / MARKER
    return read_document(path, Marker, command="distil export") if path.exists() else None


def _note(folder: Path, marker: Marker) -> None:
    write_json(folder / MARKER, marker.model_dump(mode="json"))


def _require_ours(path: Path, before: Marker | None, *, ours: bool) -> None:
    if not path.exists() or (ours and before is None):
        return
    known = before.files.get(path.name, []) if before else []
    if not known:
        raise UserError(
            f"{path} is there already, and no export of Distil wrote it. Name another folder with --out, or move the file away."
        )
    if file_sha256(path) not in known:
        raise UserError(
            f"{path} was changed after it was exported. Move it away to keep it, or delete it, and export again."
        )
