"""The gateway's way to the teacher: whether it can be asked is known before anybody is served."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from distil.calls.config import TeacherConfig
from distil.errors import UserError
from distil.serve.teacher import Teacher


@pytest.mark.parametrize(
    ("model", "said"),
    [("openai/gpt-4o-mini", "export OPENAI_API_KEY="), ("http://127.0.0.1:9/v1#m", "Nobody knows what")],
)
def test_a_teacher_without_key_or_price_is_told_before_the_gateway_listens(
    model: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(UserError, match=said):
        asyncio.run(Teacher(tmp_path / "ledger.sqlite", TeacherConfig(model=model), None).start())
    assert not list(tmp_path.glob(".*reserve")), "the ledger was closed"
