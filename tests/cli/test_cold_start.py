"""Each command started in a Python that has loaded little of Distil, on a project that is not there: one paragraph, and no torch.

The other tests of commands fork them from a Python with everything loaded (tests/warm.py), which hides an import that is
missing or heavy. Here one Python has loaded the config and the order of the stages, which nearly all commands read first, and
forks a process for each.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import NamedTuple

import pytest

from distil.cli.main import COMMANDS

ARGUMENTS: dict[str, list[str]] = {
    "config": ["show"],
    "until": ["SHIP", "--budget", "1"],
    "signals": ["build"],
    "prompts": ["load"],
    "view": ["prompts"],
    "compare": ["a", "b"],
}
"""Besides --project."""
WITHOUT_PROJECT: dict[str, list[str]] = {
    "forecast": ["missing.jsonl"],
    "init": ["new", "--teacher", "nobody"],
    "demo": ["--help"],
    "selfcheck": ["--help"],
}
"""Commands that need none, with an argument that is wrong, or where anything would start the work, with the question for help."""
SAID = {
    "init": "does not name a provider",
    "forecast": "missing.jsonl does not exist",
    "view": "is not there",
    "ledger": "has no ledger yet",
    "doctor": "PROBLEM 1. the config",
    "batches": "No batch is unfinished.",
    "demo": "Usage: distil demo",
    "selfcheck": "Usage: distil selfcheck",
}
"""All others say that there is no project. The last four end well."""
HEAVY = {"torch", "transformers", "sentence_transformers"}
STARTER = """
import json, os, sys, tempfile
import distil.pipeline, numpy
assert "torch" not in sys.modules and "distil.cli.main" not in sys.modules
for command, words in json.load(sys.stdin).items():
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, tempfile.TemporaryFile() as seen:
        if os.fork() == 0:
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(out.fileno(), 1)
            os.dup2(err.fileno(), 2)
            sys.argv = ["distil", command, *words]
            code = 70
            try:
                from distil.cli.main import main
                main()
            except SystemExit as end:
                code = end.code if isinstance(end.code, int) else 71
            except BaseException as error:
                sys.excepthook(type(error), error, error.__traceback__)
            sys.stdout.flush()
            sys.stderr.flush()
            os.write(seen.fileno(), json.dumps(sorted({name.split(".")[0] for name in sys.modules})).encode())
            os._exit(code)
        _, status = os.wait()
        texts = []
        for file in (out, err, seen):
            file.seek(0)
            texts.append(file.read().decode())
    print(json.dumps([command, os.waitstatus_to_exitcode(status), *texts]), flush=True)
"""


class Ended(NamedTuple):
    """What a command did."""

    code: int
    out: str
    err: str
    loaded: set[str]


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Ended]:
    folder = tmp_path_factory.mktemp("cold")
    words = {
        command: WITHOUT_PROJECT.get(command) or [*ARGUMENTS.get(command, []), "--project", "missing"]
        for command in COMMANDS
    }
    environ = {name: value for name, value in os.environ.items() if not name.endswith("_API_KEY")}
    done = subprocess.run(
        [sys.executable, "-c", STARTER],
        input=json.dumps(words), capture_output=True, text=True, cwd=folder, env=environ | {"COLUMNS": "100"},
        check=True, timeout=120,
    )  # fmt: skip
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    return {command: Ended(code, out, err, set(json.loads(seen or "[]"))) for command, code, out, err, seen in rows}


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_a_cold_start_says_what_is_wrong(command: str, ended: dict[str, Ended]) -> None:
    found = ended[command]
    said = SAID.get(command, "missing is not a Distil project: it has no distil.yaml")
    assert said in " ".join((found.out + found.err).split()), found
    assert "Traceback" not in found.err and not HEAVY & found.loaded, found
    if command in ("doctor", "batches", "demo", "selfcheck"):
        assert found.code == 0 and not found.err
    else:
        assert found.code == 2 and found.err.startswith("distil: ") and not found.out and "\n\n" not in found.err
