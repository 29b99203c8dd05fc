"""work/serve/audits.jsonl: answers of the student that the gateway had the teacher answer, too, and whether they were bad."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from distil.records import Record


class Audit(Record):
    """One label from production. The alarm is computed from these lines, so it survives a restart."""

    id: str
    """The request's id."""
    at: str
    """ISO time, UTC."""
    student: str
    """Its name."""
    fingerprint: str
    """Hash of the student's weights, or of its server's address."""
    certificate: str
    """Which calibration was in force: a new one starts new evidence."""
    answered: Literal["student", "teacher"]
    """Who answered the client. teacher: the alarm had closed the gate, and the student was only compared."""
    probability: float = Field(gt=0, le=1)
    """With which this answer was chosen."""
    weight: float = Field(gt=0, le=1)
    """Smallest probability in force divided by this one."""
    share: float = Field(gt=0, le=1)
    """Of all such answers that were chosen then."""
    confidence: float
    """The student's."""
    threshold: float
    """In force."""
    risk: float = Field(gt=0, lt=1)
    """The share of bad answers that is watched for."""
    bad: bool
    """Whether the student's answer is bad, by the rule of the calibration."""
    requests: int = Field(ge=0)
    """Answers that the student gave since the line before, this one included."""
