"""The one-file example runs from collecting the answers to the final accuracies."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests import warm

EXAMPLE = Path(__file__).parents[2] / "examples" / "distill_in_one_file.py"


def test_the_one_file_example_runs_and_stays_short() -> None:
    assert len(EXAMPLE.read_text(encoding="utf-8").splitlines()) < 200
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [warm.executable(), str(EXAMPLE), "--small"],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env=environment,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines[-4:]] == ["teacher", "base", "sft", "logits"]
    assert float(lines[-4].split()[1].rstrip("%")) > 50
