"""What `distil evaluate` prints below its table."""

from __future__ import annotations

from pathlib import Path

import pytest

from distil.cli.evaluate import show
from distil.runs.schemas.summary import read_summary
from tests.report.sample import make_project


def test_the_next_steps_and_notes_are_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    summary = read_summary(make_project(tmp_path / "p", students=("sft",)).summary("sft"))
    verdict = summary.verdict.model_copy(
        update={"decision": "NOT DECIDED", "next_steps": ["distil evaluate sft --set a=b"]}
    )
    changed = summary.model_copy(update={"verdict": verdict, "notes": ["the base was not measured"]})
    show(changed)
    printed = capsys.readouterr().out
    assert "NOT DECIDED: " in printed
    assert "- Next: distil evaluate sft --set a=b" in printed and "- the base was not measured" in printed
    assert str(changed).splitlines()[-2:] == ["Next: distil evaluate sft --set a=b", "the base was not measured"]
