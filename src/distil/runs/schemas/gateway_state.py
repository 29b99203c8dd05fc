"""work/serve/NAME/gateway.json: what a gateway has done since it started, rewritten every few seconds while it runs."""

from __future__ import annotations

from pathlib import Path

from distil.errors import UserError
from distil.records import Record
from distil.runs.jsonl import read_document
from distil.runs.processes import Process


class LiveFigures(Record):
    """What the audits say about the student's answers."""

    audits: int
    """Of the threshold in force."""
    bad: int
    """Bad ones among them."""
    error: float | None
    """Share of bad answers among those that the student gave, weighted by the audits' probabilities; None without audits."""
    low: float
    """Lower end of its interval, which is valid at all times while the error does not change."""
    high: float
    """Upper end."""
    promised: float
    """The largest share that was promised."""
    state: str
    """holds | changed (the last audits look worse) | alarm (more than promised) | closed (the teacher answers everything)."""
    alarm_at: str | None
    """When the alarm went off; None: it did not, or a tighter threshold has ended it."""
    openings: int
    """How often a tighter threshold has opened the gate again."""
    lost: int
    """Audits without a label: not asked, not answered, or not comparable."""
    usd: float
    """What the teacher's answers to audits cost."""


class GatewayState(Record):
    """One gateway, running or stopped."""

    student: str
    """Its name."""
    pid: int
    """Of its process."""
    host: str = ""
    """The machine or container that it runs on."""
    born: str = ""
    """When its process started, as the system reports it."""
    mode: str
    """serve.fallback."""
    threshold: float | None
    """In force; None = the student answers nothing, or everything."""
    started: str
    """ISO time, UTC."""
    updated: str
    """When this was written."""
    stopped: bool
    """Whether it ended in order."""
    by_student: int
    """Answers that the student gave."""
    by_teacher: int
    """Answers that the teacher gave."""
    eligible: int
    """Requests of the shape that the threshold holds for, whoever answered."""
    errors: int
    """Requests that got an error."""
    reasons: dict[str, int]
    """Why somebody answered -> requests."""
    live: LiveFigures | None
    """None where nothing is audited."""
    drift: list[str]
    """How the requests differ from the calibrated ones, in words; empty where they do not, or are not watched."""

    shadow: str | None = None
    """How the student in the shadow compares, in words; None where there is none."""

    @property
    def running(self) -> bool:
        """Whether its process is there (on this machine)."""
        return not self.stopped and Process(self.pid, self.host, self.born).alive


def read_gateway_state(path: Path) -> GatewayState | None:
    """The state of the last gateway of a student; None when there was none, or its file is of another version."""
    try:
        return read_document(path, GatewayState, command="distil serve") if path.exists() else None
    except UserError:
        return None
