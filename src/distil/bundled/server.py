"""A local model behind an OpenAI-compatible server in a separate process, for the length of a `with` block.

The demo's teacher runs this way, so it is reached through the same HTTP client as a real provider. Not the gateway.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from distil.errors import WorkFailed

READY = "ready "
START_S = 180.0
STOP_S = 20.0


@contextmanager
def teacher_server(ref: str, *, port: int = 0, name: str = "teacher") -> Iterator[str]:
    """Starts `python -m distil.serve REF`, yields its URL (`http://127.0.0.1:PORT/v1#NAME`), and stops it afterwards.

    Raises WorkFailed with the server's own message when it does not start (port taken, model not there) within three minutes.
    """
    options = ["--port", str(port), "--name", name, "--batch-size", "128", "--with-parent"]
    command = [sys.executable, "-m", "distil.serve", ref, *options]
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, start_new_session=True
        )
        try:
            yield _wait_ready(process, errors)
        finally:
            stop_process(process, STOP_S)


def _wait_ready(process: subprocess.Popen[str], errors: IO[str]) -> str:
    watchdog = threading.Timer(START_S, process.kill)
    watchdog.start()
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith(READY):
                return line.removeprefix(READY).strip()
    finally:
        watchdog.cancel()
    process.wait()
    errors.seek(0)
    output = errors.read().strip()[-500:] or f"(nothing for {START_S:.0f} seconds)"
    raise WorkFailed(f"The teacher's server did not start. Its output: {output}")


def stop_process(process: subprocess.Popen[str], patience_s: float) -> None:
    """Ends a process: by a signal first, then by force."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(patience_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
