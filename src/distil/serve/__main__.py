"""`python -m distil.serve REF`: one local model as an OpenAI-compatible server, for the demo and for tests.

A student with its fallback is served by `distil serve`.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading

from distil.errors import DistilError
from distil.serve.stage import serve_model


def main() -> int:
    """Serves until SIGINT or SIGTERM; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m distil.serve", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("ref", help="bundled/teacher, a folder in Hugging Face format, or a hub id")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 = any free one; the ready line says which")
    parser.add_argument("--name", default="model", help="the name that requests give as `model`")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument(
        "--with-parent", action="store_true", help="stop when standard input closes: when the parent is gone"
    )
    chosen = parser.parse_args()
    if chosen.with_parent:
        threading.Thread(target=_stop_when_orphaned, daemon=True).start()
    try:
        serve_model(
            chosen.ref, host=chosen.host, port=chosen.port, model_name=chosen.name, batch_size=chosen.batch_size
        )
    except DistilError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    return 0


def _stop_when_orphaned() -> None:
    """A parent that was killed can't say goodbye, but its end of the pipe closes."""
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
