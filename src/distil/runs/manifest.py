"""When is a stage done? When its manifest is there. When is it stale? When what it read has changed since.

`stage_run` is how every stage writes: it locks the folder, and writes the manifest last and only on success. Not a scheduler:
the order of stages is in distil/pipeline.py.
"""

from __future__ import annotations

import fcntl
import importlib.metadata
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

import distil
from distil.errors import UserError
from distil.ids import file_sha256, folder_sha256, now
from distil.records import FileStamp, Manifest
from distil.runs.artifacts import Project, stage_command
from distil.runs.jsonl import describe, read_json, refuse_newer, write_json
from distil.runs.known_hashes import KnownHashes

State = Literal["missing", "stale", "done"]
NOTED_PACKAGES = (
    "torch", "transformers", "peft", "numpy", "tokenizers", "onnxruntime", "genai-prices", "aiohttp",
)  # fmt: skip


def stamp(path: Path, count: int | None = None, hash_of: Callable[[Path], str] = file_sha256) -> FileStamp:
    """Hash of a file, or of a folder over the names and contents below it. hash_of: gives a file's."""
    return FileStamp(sha256=folder_sha256(path, hash_of) if path.is_dir() else hash_of(path), count=count)


class StageRun:
    """What a running stage notes down for its manifest."""

    def __init__(self, project: Project, stage: str, name: str | None, config: Mapping[str, object]) -> None:
        self.project = project
        self.stage = stage
        self.name = name
        self.folder = project.stage(stage, name)
        self.started = now("seconds")
        self.usd = 0.0
        self.notes: dict[str, object] = {}
        self.seeds: dict[str, int] = {}
        self._config = dict(config)
        self._inputs: dict[str, FileStamp] = {}
        self._outputs: dict[str, FileStamp] = {}

    def reads(self, path: Path, count: int | None = None, *, named: str | None = None) -> Path:
        """Notes an input as it is now. Call it before reading, so that a change while the stage runs makes it stale.

        named: a path relative to the project, such as ../questions.csv, that holds where both are moved together.
        """
        self._inputs[named or self.project.relative(path)] = stamp(path, count)
        return path

    def read_before(self, path: Path, then: FileStamp) -> None:
        """Notes an input as it was when work on it began elsewhere: a change since then makes the stage stale."""
        self._inputs[self.project.relative(path)] = then

    def hash_of(self, path: Path) -> str:
        """The hash of an input that was noted. KeyError for one that was not."""
        return self._inputs[self.project.relative(path)].sha256

    def wrote(self, path: Path, count: int | None = None) -> Path:
        """Notes a finished output."""
        self._outputs[self.project.relative(path)] = stamp(path, count)
        return path

    def manifest(self) -> Manifest:
        """The manifest as of now."""
        return Manifest(
            tool_version=distil.__version__,
            stage=self.stage,
            name=self.name,
            config=self._config,
            inputs=self._inputs,
            outputs=self._outputs,
            seeds=self.seeds,
            packages=package_versions(),
            usd=round(self.usd, 8),
            started=self.started,
            finished=now("seconds"),
            notes=self.notes,
        )


@contextmanager
def stage_run(
    project: Project, stage: str, config: Mapping[str, object], name: str | None = None
) -> Iterator[StageRun]:
    """Locks the stage's folder, yields a StageRun, and writes manifest.json last, only when the block did not raise.

    `config` is the resolved section (`section.model_dump(mode="json")`). A run that found all as it was, and wrote the same,
    leaves the manifest as it is: looking again makes nothing stale. Raises UserError when another process runs the stage.
    """
    run = StageRun(project, stage, name, config)
    run.folder.mkdir(parents=True, exist_ok=True)
    with _lock(run.folder / ".lock", stage):
        yield run
        path, manifest = run.folder / "manifest.json", run.manifest().model_dump(mode="json")
        if not _says(path, manifest):
            write_json(path, manifest)


def _says(path: Path, manifest: Mapping[str, object]) -> bool:
    """Whether the file holds this manifest, whenever that was."""
    try:
        return _lasting(read_json(path)) == _lasting(dict(manifest))
    except UserError:  # none there, or a broken one
        return False


def _lasting(manifest: object) -> object:
    """All but when it was."""
    return (
        {k: v for k, v in manifest.items() if k not in ("started", "finished")} if isinstance(manifest, dict) else None
    )


@contextmanager
def _lock(path: Path, stage: str) -> Iterator[None]:
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            owner = file.read().strip() or "unknown"
            raise UserError(
                f"Another `distil {stage}` is running in this project (process {owner}). Wait for it, or stop it and run again."
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        try:
            yield
        finally:
            fcntl.flock(file, fcntl.LOCK_UN)


def read_manifest(project: Project, stage: str, name: str | None = None) -> Manifest | None:
    """The stage's manifest, or None when the stage is not done. Raises UserError when it can't be read."""
    path = project.stage(stage, name) / "manifest.json"
    if not path.exists():
        return None
    value = read_json(path)
    refuse_newer(path, value)
    try:
        return Manifest.model_validate(value)
    except ValidationError as error:
        faults = error.errors()
        if all(fault["type"] == "extra_forbidden" for fault in faults):
            names = ", ".join(".".join(map(str, fault["loc"])) for fault in faults[:3])
            raise UserError(
                f"{path} has what this Distil ({distil.__version__}) does not know: {names}. Manifest of version "
                f"{value.get('tool_version', '?')}: update Distil, or take the key out; nothing has to be done again."
            ) from None
        # the stage would read it again, so it has to go first
        raise UserError(f"{path}: {describe(error)}. Delete it and run `{stage_command(stage, name)}` again.") from None


def stage_state(
    project: Project,
    stage: str,
    name: str | None = None,
    config: Mapping[str, object] | None = None,
    *,
    without_inputs: bool = False,
) -> tuple[State, str]:
    """(missing | stale | done, why). Stale: a recorded input or output changed or is gone, or `config` differs.

    without_inputs: one that is gone makes nothing stale; `why` names it.
    """
    manifest = read_manifest(project, stage, name)
    if manifest is None:
        return "missing", "has not run yet"
    gone = []
    known = KnownHashes(project)
    for kind, stamps in (("input", manifest.inputs), ("output", manifest.outputs)):
        for relative, then in stamps.items():
            path = project.root / relative
            if not path.exists() and kind == "input" and without_inputs:
                gone.append(relative)
                continue
            if not path.exists():
                return "stale", f"{kind} {relative} is gone"
            if stamp(path, hash_of=known.sha256).sha256 != then.sha256:
                return "stale", f"{kind} {relative} has changed"
    keys = [] if config is None else changed_keys(config, manifest.config)
    if keys:
        return "stale", f"settings have changed: {', '.join(keys)}"
    left = f"; {', '.join(gone)} is gone, and what was read of it is used" if gone else ""
    return "done", f"finished {manifest.finished[:16].replace('T', ' ')} UTC{left}"


def changed_keys(now: Mapping[str, object], then: Mapping[str, object]) -> list[str]:
    """Keys with another value than then; one that either does not have is null.

    A cap is none of them: it shapes a result only where it stopped the asking, which a stage notes (stage_states.py).
    """
    return sorted(key for key in {*now, *then} - {"budget_usd"} if now.get(key) != then.get(key))


def package_versions() -> dict[str, str]:
    """Versions of the installed packages that shape results; nothing is imported."""
    versions = {}
    for package in NOTED_PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
