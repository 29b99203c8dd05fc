"""Distil: replace an expensive language model with a small one that you own, and prove that it is good enough.

Nothing of Distil is imported here, so that `import distil` costs nothing; each thing has one import path (see
docs/architecture.md). It only chooses how threads wait, which has to be known before torch is loaded.
"""

import os

__version__ = "0.1.0"

WAITING = {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "0", "KMP_BLOCKTIME": "0"}
"""Environment variables of the OpenMP runtimes (GNU's, LLVM's, Intel's) that torch and the compiled rows share: waiting threads
sleep. By default they spin, which slows all jobs on the same cores (benchmarks/waiting.py). One that is set in your environment
wins, and then none of these is touched."""

if not any(name in os.environ for name in WAITING):
    os.environ.update(WAITING)
