"""A disk that is full, and that is not full any more: in a process of its own, since the limit holds for a process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_a_freed_disk_is_noticed_within_seconds(tmp_path: Path) -> None:
    """The student answers meanwhile, the teacher is tried again, and captured lines that waited are written whole."""
    ran = subprocess.run(
        [sys.executable, "-m", "tests.serve.full_disk", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    seen = json.loads(ran.stdout)
    assert seen["before"] == [200] and seen["own"] == 200 and seen["asked"] == 1
    assert all(status in (502, 503) for status in seen["full"]), "what can't be recorded is not paid for"
    assert seen["seconds"] < 8
    assert seen["dropped"] == 0 and seen["captured"][1] == "while it is full" and len(seen["captured"]) == 3
    assert "can be written again" in ran.stderr
