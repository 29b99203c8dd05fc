"""llama.cpp's own server on a loopback port until it is ended: PYTHON real_llamacpp.py MODEL.gguf PORT THREADS.

Runs in a virtual environment that has nothing but xllamacpp; `real_lab.py` starts it.
"""

import sys
import threading

import xllamacpp  # type: ignore[import-not-found]

SLOTS, CONTEXT = 4, 4096  # requests at once, and tokens for all of them together


def main() -> None:
    """Serves until the process is ended."""
    model, port, threads = sys.argv[1:4]
    parameters = xllamacpp.CommonParams()
    parameters.model.path = model
    parameters.hostnames, parameters.port = ["127.0.0.1"], int(port)
    parameters.n_ctx, parameters.n_parallel = CONTEXT, SLOTS
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = int(threads)
    parameters.cpuparams.poll = parameters.cpuparams_batch.poll = 0  # waiting threads leave the cores to others
    server = xllamacpp.Server(parameters)
    print(server.listening_address, flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
