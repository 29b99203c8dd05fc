"""Large files are read once as long as nobody touches them; whatever touches them is seen."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from distil.ids import file_sha256
from distil.runs.artifacts import Project
from distil.runs.known_hashes import KnownHashes
from distil.runs.manifest import stage_run, stage_state

SIZE = 3 << 20


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that were read to their end."""
    seen: list[Path] = []

    def counted(path: Path) -> str:
        seen.append(path)
        return file_sha256(path)

    monkeypatch.setattr("distil.runs.known_hashes.file_sha256", counted)
    monkeypatch.setattr("distil.runs.known_hashes.SETTLED_S", -1.0)
    return seen


def same_size_same_time(path: Path) -> None:
    """As `cp -p` or `rsync -t` leave a file."""
    about = path.stat()
    path.write_bytes(b"b" * SIZE)
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))


def replaced(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(b"b" * SIZE)
    shutil.copystat(path, other)
    other.replace(path)


def test_weights_are_read_once(tmp_path: Path, read: list[Path]) -> None:
    project = Project(tmp_path)
    model = project.model("s")
    model.mkdir(parents=True)
    (model / "model.safetensors").write_bytes(b"a" * SIZE)
    (model / "config.json").write_text("{}")
    with stage_run(project, "train", {}, name="s") as stage:
        stage.wrote(model)
    for _ in range(3):
        assert stage_state(project, "train", "s")[0] == "done"
    assert [path.name for path in read].count("model.safetensors") == 1
    same_size_same_time(model / "model.safetensors")
    assert stage_state(project, "train", "s") == ("stale", "output work/train/s/model has changed")


@pytest.mark.parametrize("touch", [same_size_same_time, replaced])
def test_whatever_touches_a_file_is_seen(tmp_path: Path, read: list[Path], touch: Callable[[Path], None]) -> None:
    (tmp_path / "work").mkdir()
    path, known = tmp_path / "weights", KnownHashes(Project(tmp_path))
    path.write_bytes(b"a" * SIZE)
    first = known.sha256(path)
    assert known.sha256(path) == first == file_sha256(path) and len(read) == 1
    touch(path)
    assert known.sha256(path) == file_sha256(path) != first


def test_a_file_just_written_is_not_remembered(
    tmp_path: Path, read: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("distil.runs.known_hashes.SETTLED_S", 2.0)
    (tmp_path / "work").mkdir()
    path, known = tmp_path / "weights", KnownHashes(Project(tmp_path))
    path.write_bytes(b"a" * SIZE)
    assert known.sha256(path) == known.sha256(path) and len(read) == 2


def test_a_project_that_cannot_be_written_is_read(
    tmp_path: Path, read: list[Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("os.access", lambda *_: False)
    (tmp_path / "work").mkdir()
    path, known = tmp_path / "weights", KnownHashes(Project(tmp_path))
    path.write_bytes(b"a" * SIZE)
    assert known.sha256(path) == known.sha256(path) and len(read) == 2
    assert capsys.readouterr().err == "" and not Project(tmp_path).cache.exists()
