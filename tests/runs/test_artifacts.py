"""Names of models in a project: folders inside it, and everything else."""

from __future__ import annotations

from pathlib import Path

from distil.runs.artifacts import Project


def test_a_folder_of_the_project_is_found_from_anywhere_and_other_names_stay(tmp_path: Path) -> None:
    (tmp_path / "models" / "mine").mkdir(parents=True)
    project = Project(tmp_path)
    whole = str((tmp_path / "models" / "mine").resolve())
    assert project.placed("models/mine") == project.placed("local/models/mine") == project.placed(whole) == whole
    for name in ("bundled/student", "Qwen/Qwen3-0.6B", "models/other", "openai/gpt-5-mini"):
        assert project.placed(name) == name
