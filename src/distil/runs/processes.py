"""Whether a process that noted itself in a file is still there: one rule for the ledger's writers and the gateway's state."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import NamedTuple


class Process(NamedTuple):
    """What tells a process from a later one with its number: in a container that was restarted, everybody is process 1."""

    pid: int
    host: str
    born: str
    """When it started, as the system reports it; empty where the system does not say."""

    @property
    def alive(self) -> bool:
        """One on another host counts as dead: the host of a container that was restarted never comes back."""
        if self.host != socket.gethostname():
            return False
        try:
            os.kill(self.pid, 0)
        except PermissionError:  # another user's; the system may hide when it started
            return birth(self.pid) in ("", self.born)
        except (OSError, OverflowError):  # none with this number, or a number that none can have
            return False
        return birth(self.pid) == self.born


def this_process() -> Process:
    """The one that asks."""
    return Process(os.getpid(), socket.gethostname(), birth(os.getpid()))


def birth(pid: int) -> str:
    """When a process started, as the system reports it; empty where the system does not say."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
