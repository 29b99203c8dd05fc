"""What real.py's parts share: steps that are measured once, distil's commands, and tables in Markdown."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

Json = dict[str, Any]


class Bench:
    """The folder of a run: projects, logs, and results.json with each step's result, its seconds and the machine's load."""

    def __init__(self, folder: Path, lab: Path, data: Path, threads: int) -> None:
        self.folder, self.lab, self.data, self.threads = folder, lab, data, threads
        folder.mkdir(parents=True, exist_ok=True)
        self._file = folder / "results.json"
        self.results: dict[str, Json] = json.loads(self._file.read_text()) if self._file.exists() else {}

    def has(self, *keys: str) -> bool:
        """Whether all of these steps were measured."""
        return all(key in self.results for key in keys)

    def step(self, key: str, work: Callable[[], object]) -> Json:
        """Does `work` unless it was done in an earlier run; its result is kept under `key`."""
        if key not in self.results:
            print(f"{time.strftime('%H:%M')} {key}", file=sys.stderr, flush=True)
            started, load = time.monotonic(), os.getloadavg()[0]
            result = work()
            seconds = time.monotonic() - started
            self.results[key] = {
                "result": result,
                "seconds": round(seconds, 1),
                "load": [round(load, 1), round(os.getloadavg()[0], 1)],
            }
            building = self._file.with_suffix(".building")
            building.write_text(json.dumps(self.results, indent=1), encoding="utf-8")
            building.rename(self._file)
        return self.results[key]

    def result(self, key: str) -> Json:
        """The result of a step that was measured."""
        found = self.results[key]["result"]
        assert isinstance(found, dict), key
        return found


def command(*words: str) -> Json:
    """Runs `distil WORDS --json`; its result. Exits with the command when it fails."""
    print(f"      distil {' '.join(words)}", file=sys.stderr, flush=True)
    done = subprocess.run(
        [sys.executable, "-m", "distil", *words, "--json"], stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"distil {' '.join(words)} ended with code {done.returncode}")
    found = json.loads(done.stdout)
    return found if isinstance(found, dict) else {"list": found}


def write_rows(path: Path, rows: Iterable[Json]) -> Path:
    """One JSON object a line."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def settings(**values: object) -> list[str]:
    """`--set` words; a double underscore is the dot."""
    return [word for key, value in values.items() for word in ("--set", f"{key.replace('__', '.')}={value}")]


def markdown(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table: the first column left-aligned, the others right-aligned."""
    lines = [f"| {' | '.join(columns)} |", "|---|" + "---:|" * (len(columns) - 1)]
    return "\n".join([*lines, *(f"| {' | '.join(str(cell) for cell in row)} |" for row in rows)])


def fresh(folder: Path) -> Path:
    """The path, with nothing there: an unfinished step is done again."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.unlink(missing_ok=True)
    return folder
