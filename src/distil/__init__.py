"""Distil: replace an expensive language model with a small one that you own, and prove that it is good enough.

    import distil

    project = distil.init("mytask", teacher="openai/gpt-5-mini", student="Qwen/Qwen3-0.6B", prompts="questions.csv")
    distil.collect(project, {"collect.budget_usd": 20})
    distil.curate(project)
    distil.train(project)
    print(distil.evaluate(project).verdict.sentence)

The jobs are in distil/jobs.py; nothing is loaded before one is used, so that `import distil` costs nothing. Some bear the name of
the package that does the work: `distil.collect` is that package, and calling it calls the job. Importing Distil also chooses how
threads wait, which has to be known before torch is loaded.
"""

import importlib
import os
import sys
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from distil.jobs import (
        calibrate,
        collect,
        collect_actively,
        cost,
        curate,
        doctor,
        evaluate,
        forecast,
        init,
        plan,
        report,
        run,
        serve,
        status,
        train,
        until,
    )
    from distil.runs.artifacts import Project

__all__ = [
    "Project",
    "calibrate",
    "collect",
    "collect_actively",
    "cost",
    "curate",
    "doctor",
    "evaluate",
    "forecast",
    "init",
    "plan",
    "report",
    "run",
    "serve",
    "status",
    "train",
    "until",
]
PACKAGES = ("collect", "cost", "curate", "doctor", "evaluate", "forecast", "plan", "report", "serve", "train", "until")
"""Jobs that bear the name of a package or module."""

__version__ = "0.1.0"

WAITING = {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "0", "KMP_BLOCKTIME": "0"}
"""Environment variables of the OpenMP runtimes (GNU's, LLVM's, Intel's) that torch and the compiled rows share: waiting threads
sleep. By default they spin, which slows all jobs on the same cores (benchmarks/waiting.py). One that is set in your environment
wins, and then none of these is touched."""

if not any(name in os.environ for name in WAITING):
    os.environ.update(WAITING)


class _Job(ModuleType):
    """A package that can be called."""

    def __call__(self, *args: object, **options: object) -> object:
        return getattr(importlib.import_module("distil.jobs"), self.__name__.rpartition(".")[2])(*args, **options)


def callable_as_job(module: str) -> None:
    """Makes the package `distil.NAME` callable: it does what distil.jobs.NAME does."""
    sys.modules[module].__class__ = _Job


def __getattr__(name: str) -> object:
    if name in PACKAGES:
        return importlib.import_module(f"distil.{name}")
    if name == "Project":
        return importlib.import_module("distil.runs.artifacts").Project
    if name in __all__:
        return getattr(importlib.import_module("distil.jobs"), name)
    raise AttributeError(f"module 'distil' has no attribute {name!r}")


def __dir__() -> list[str]:
    return ["__version__", *__all__]
