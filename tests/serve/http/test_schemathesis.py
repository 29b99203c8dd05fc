"""Bodies and calls that schemathesis makes from openapi.json: no 5xx, replies as the document says, refusals where it refuses.

Optional: it runs where `schemathesis` is on the path (a tool with packages of its own: `pipx install schemathesis`), or where
DISTIL_SCHEMATHESIS names it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.serve.clients.serving import serving
from tests.serve.running import StudentServer
from tests.serve.test_gateway import gateway_of, teacher_server

TOOL = os.environ.get("DISTIL_SCHEMATHESIS") or shutil.which("schemathesis")
EXAMPLES = os.environ.get("DISTIL_FUZZ", "20")
HOOKS = '''
"""Rules that JSON schema has no words for: bodies that break them are refused, though the document takes them."""

import schemathesis


@schemathesis.hook("filter_body")
def not_continued(context, body):
    if not context.operation.path.endswith("/v1/messages") or not isinstance(body, dict):
        return True
    turns = body.get("messages")
    return not (isinstance(turns, list) and turns and isinstance(turns[-1], dict) and turns[-1].get("role") == "assistant")


@schemathesis.hook("filter_body")
def few_answers(context, body):
    if not context.operation.path.endswith("/v1/completions") or not isinstance(body, dict):
        return True
    prompts, count = body.get("prompt"), body.get("n")
    return not (isinstance(prompts, list) and isinstance(count, (int, float)) and len(prompts) * count > 128)
'''


@pytest.mark.skipif(TOOL is None, reason="schemathesis is not installed (pipx install schemathesis)")
def test_the_gateway_keeps_what_its_document_says(tmp_path: Path) -> None:
    (tmp_path / "gateway_hooks.py").write_text(HOOKS, encoding="utf-8")
    with StudentServer() as student, teacher_server() as teacher:
        gateway = gateway_of(tmp_path, student, teacher, fallback="threshold", threshold=0.5)
        with serving(gateway) as url:
            ran = subprocess.run(
                [
                    str(TOOL), "run", f"{url}/openapi.json", "--continue-on-failure", "--seed", "1",
                    "--max-examples", EXAMPLES, "--suppress-health-check", "all",
                ],
                cwd=tmp_path,
                env={**os.environ, "PYTHONPATH": str(tmp_path), "SCHEMATHESIS_HOOKS": "gateway_hooks", "NO_COLOR": "1"},
                capture_output=True,
                text=True,
                timeout=600,
                check=False,
            )  # fmt: skip
    assert ran.returncode == 0, ran.stdout[-6_000:] + ran.stderr[-2_000:]
