"""A line on stderr for each request: when, which, who answered, why, how sure, how long, how many tokens, for how much.

Never what was asked or answered, and no key. Written by a thread of its own, so that a terminal that stands still stops nobody;
lines that it can't write in time are dropped, and it says how many.
"""

from __future__ import annotations

import json
import re
import sys
import threading
import time
from collections import deque
from typing import Literal, TextIO

from distil.progress import dollars
from distil.serve.served import Served

Form = Literal["text", "json", "off"]
WAITING = 10_000
"""Lines that may wait to be written."""
EVERY_S = 0.1
_UNSAFE = re.compile(r"[^\x21-\x7e]+")


class RequestLog:
    """A watcher of the gateway."""

    def __init__(self, form: Literal["text", "json"], out: TextIO | None = None) -> None:
        """out: None = stderr."""
        self._form, self._out = form, out
        self._lines: deque[str] = deque()
        self.dropped = 0
        self._some, self._ended = threading.Event(), False
        self._thread = threading.Thread(target=self._write, name="distil-request-log", daemon=True)
        self._thread.start()

    def __call__(self, served: Served) -> None:
        """Takes an answered request."""
        usage, asked = served.reply.usage, served.request
        self._add(
            {
                "time": _time(served.at, self._form),
                "id": _word(served.id),
                "by": served.decision.by,
                "reason": _word(served.decision.reason),
                "confidence": None if served.confidence is None else round(served.confidence, 4),
                "ms": round(1000 * served.seconds, 1),
                "input_tokens": usage.input_tokens,
                "output_tokens": usage.output_tokens,
                "usd": round(served.usd, 8),
                "stream": asked.stream,
                "key": None if asked.caller.key is None else _word(asked.caller.key),
            }
        )

    def refuse(self, request_id: str, status: int, code: str | None) -> None:
        """Takes a request that got an error."""
        at = _time(time.time(), self._form)
        self._add(
            {"time": at, "id": _word(request_id), "status": status, "code": None if code is None else _word(code)}
        )

    def stop(self) -> None:
        """Writes what is waiting; waits a second for it at most."""
        self._ended = True
        self._some.set()
        self._thread.join(1.0)

    def _add(self, entry: dict[str, object]) -> None:
        if len(self._lines) >= WAITING:
            self.dropped += 1
            return
        self._lines.append(json.dumps(entry) if self._form == "json" else _text(entry))
        if not self._some.is_set():
            self._some.set()

    def _write(self) -> None:
        told = 0
        while not self._ended or self._lines:
            self._some.wait()
            if not self._ended:
                time.sleep(EVERY_S)  # some lines at once: each waking costs as much as the line
            self._some.clear()
            taken = [self._lines.popleft() for _ in range(len(self._lines))]
            if self.dropped > told:
                taken.append(f"distil serve: {self.dropped - told} lines of the request log were dropped")
                told = self.dropped
            out = self._out or sys.stderr
            try:
                out.write("".join(line + "\n" for line in taken))
                out.flush()
            except (OSError, ValueError):  # closed, or nobody reads it any more
                self.dropped += len(taken)


def form_of(chosen: Literal["auto", "text", "json", "off"]) -> Form:
    """auto: text on a terminal, otherwise off."""
    if chosen != "auto":
        return chosen
    return "text" if sys.stderr is not None and sys.stderr.isatty() else "off"


def _text(entry: dict[str, object]) -> str:
    at, name = entry["time"], entry["id"]
    if "status" in entry:
        return f"{at} {name} refused {entry['status']} {entry['code'] or ''}".rstrip()
    sure = "" if entry["confidence"] is None else f" {entry['confidence']:.4f}"
    cost = f", {dollars(float(str(entry['usd'])))}" if entry["usd"] else ""
    tokens = f"{entry['input_tokens']}+{entry['output_tokens']} tokens"
    return f"{at} {name} {entry['by']} {entry['reason']}{sure}, {entry['ms']} ms, {tokens}{cost}"


def _word(text: str) -> str:
    """A word of a line: visible ASCII, so that nothing a client names starts a line or moves a cursor."""
    return _UNSAFE.sub("?", text[:128])


def _time(at: float, form: Form) -> str:
    if form == "text":
        return time.strftime("%H:%M:%S", time.localtime(at))
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at)) + f".{int(at % 1 * 1000):03d}Z"
