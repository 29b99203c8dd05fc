"""What `distil mcp` does for its tools: one `distil` command in a process of its own, and the dollars that a session may spend.

Not the protocol: that is mcp.py. A command runs with --json, reads nothing, and is ended with the session; all of them resume.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from typing import IO, NamedTuple

from distil.calls.ledger.allowance import PAYING, Allowance, paid
from distil.cli.options import json_text
from distil.errors import UserError
from distil.runs.artifacts import Project
from distil.runs.schemas.until import read_plan
from distil.text import visible

WAIT_S = 20.0
"""A job that takes longer is answered with its number, to be asked about again."""


class Job(NamedTuple):
    """A running or finished command."""

    command: str
    process: subprocess.Popen[bytes]
    out: IO[bytes]
    err: IO[bytes]


class Session:
    """The commands of one session on one project; at most one of them changes anything at a time."""

    def __init__(self, project: Project, overrides: Sequence[str], budget_usd: float | None) -> None:
        self._project = project
        self._shared = ["--project", str(project.root), *(word for o in overrides for word in ("--set", o))]
        self._jobs: list[Job] = []
        self._starting = threading.Lock()
        """Tools run in threads: one at a time looks what runs, what is left, and starts."""
        self.budget_usd = budget_usd
        self._allowance = Allowance(project.ledger, budget_usd or 0.0)

    def left_usd(self) -> float:
        """Dollars of the session's cap that are not spent; what may have been paid without an answer counts as spent.

        Raises UserError when the session was started without a cap.
        """
        if self.budget_usd is None:
            raise UserError(
                "This server only reads: it was started without --budget USD. Ask the person who started it."
            )
        return self._allowance.left()

    def granted(self, asked_usd: float) -> float:
        """The dollars that a call may spend of those that it asks for. Raises UserError: none are left."""
        left = self.left_usd()
        if asked_usd > 0 and left <= 0:
            raise UserError(
                f"The session's budget of ${self.budget_usd:.2f} is spent. Nothing was sent. Only the person who started "
                "the server can give it more."
            )
        return min(asked_usd, left)

    def cap(self, purpose: str, asked_usd: float, configured: float | None) -> float:
        """A budget_usd that counts everything ever paid for its purpose, for a call that may spend `asked_usd`."""
        return self._allowance.cap(purpose, self.granted(asked_usd), configured)

    def evaluate_cap(self, asked_usd: float, configured: float | None) -> float:
        """evaluate.budget_usd: one figure that caps second answers and the judge, each for itself."""
        return self._allowance.evaluate_cap(self.granted(asked_usd), configured)

    def until_budget(self, asked_usd: float) -> float:
        """--budget of `distil until`, which counts all that it ever paid here, where it may ever pay `asked_usd`."""
        plan = read_plan(self._project.until_plan)
        spent = 0.0 if plan is None else max(0.0, paid(self._project.ledger, *PAYING) - plan.before_usd)
        return spent + self.granted(max(0.0, asked_usd - spent))

    def read(self, *words: str) -> str:
        """The document of a command that changes nothing. Raises UserError with what it said instead."""
        job = self._start(words)
        with job.out, job.err:
            job.process.wait()
            return self._finished(job)

    def start(self, words: Callable[[], Sequence[str]]) -> str:
        """Starts a command; its document, or where to ask for it. Raises UserError: another one is running, or it failed.

        words: asked for when nothing else runs, so that a cap among them counts all that was paid.
        """
        self.left_usd()
        with self._starting:
            for number, job in enumerate(self._jobs):
                if job.process.poll() is None:
                    raise UserError(f"`distil {job.command}` is running: ask job({number}) until it is done.")
            number = len(self._jobs)
            self._jobs.append(self._start(words()))
        return self.job(number)

    def job(self, number: int) -> str:
        """The document of a started command once it is done; until then its last line of progress."""
        if not 0 <= number < len(self._jobs):
            raise UserError(f"There is no job {number}. Started: {len(self._jobs)}, counted from 0.")
        job, until = self._jobs[number], time.monotonic() + WAIT_S
        while job.process.poll() is None and time.monotonic() < until:
            time.sleep(0.1)
        if job.process.poll() is not None:
            return self._finished(job)
        said = _read(job.err).replace("\r", "\n").strip().splitlines()
        return json_text({"job": number, "state": "running", "progress": visible(said[-1]) if said else ""})

    def end(self) -> None:
        """Interrupts what runs, as Ctrl-C does; the same command resumes."""
        for job in self._jobs:
            if job.process.poll() is None:
                job.process.send_signal(signal.SIGINT)
        for job in self._jobs:
            try:
                job.process.wait(30)
            except subprocess.TimeoutExpired:
                job.process.kill()
                job.process.wait()
            job.out.close()
            job.err.close()

    def _start(self, words: Sequence[str]) -> Job:
        out, err = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115 - they live as long as the job
        # of two settings of one key the last one counts: the call's own, such as its cap
        command = [sys.executable, "-m", "distil", words[0], *self._shared, *words[1:], "--json"]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err)
        return Job(words[0], process, out, err)

    def _finished(self, job: Job) -> str:
        document = _read(job.out).strip()
        try:
            error = json.loads(document).get("error") if document else {"message": _read(job.err).strip()[-2000:]}
        except (ValueError, AttributeError):  # a list is a document, too
            error = None
        if error:
            raise UserError(visible(str(error["message"])))
        return document


def _read(file: IO[bytes]) -> str:
    """What is in the file, without moving the place where the process writes: both share it."""
    number = file.fileno()
    return os.pread(number, os.fstat(number).st_size, 0).decode(errors="replace")
