"""OpenAI's JavaScript client. DISTIL_NODE names a folder where `npm install openai` was typed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("client.mjs")


def test_openai_node(either: str) -> None:
    node, folder = shutil.which("node"), os.environ.get("DISTIL_NODE")
    if node is None or folder is None or not (Path(folder) / "node_modules" / "openai").is_dir():
        pytest.skip("node is not there, or DISTIL_NODE does not name a folder with the package openai")
    done = subprocess.run([node, str(SCRIPT), either, folder], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    called = found.pop("called")
    assert found.pop("id").startswith("req_")
    assert found == {
        "turns": "string", "streamed": True, "choices": 2, "logprobs": True, "error": [404, "model_not_found"],
        "models": ["student"],
    }  # fmt: skip
    assert called in (None, "weather")
