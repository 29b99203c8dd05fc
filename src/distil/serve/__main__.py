"""`python -m distil.serve REF`: one local model as an OpenAI-compatible server, for the demo and for tests."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading

from distil.errors import DistilError
from distil.progress import say
from distil.serve.stage import serve_model


def main() -> int:
    """Serves until SIGINT or SIGTERM; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m distil.serve", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("ref", help="bundled/teacher, a folder in Hugging Face format, or a hub id")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 = any free port; the ready line shows it")
    parser.add_argument("--name", default="model", help="the model name in requests")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--with-parent", action="store_true", help="stop when standard input closes (the parent ended)")
    options = parser.parse_args()
    if options.with_parent:
        threading.Thread(target=_stop_when_orphaned, daemon=True).start()
    try:
        serve_model(
            options.ref, host=options.host, port=options.port, model_name=options.name, batch_size=options.batch_size
        )
    except DistilError as error:
        say(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    return 0


def _stop_when_orphaned() -> None:
    """A killed parent sends no signal, but its end of the pipe closes."""
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
