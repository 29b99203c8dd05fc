"""Keeps control characters from the terminal also where others print: tracebacks, warnings, log lines of libraries.

What Distil prints itself goes through cli.options.echo and progress.say, which do the same. Called once a process, first thing.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
import traceback
import warnings
from types import TracebackType

from distil.text import visible


def guard() -> None:
    """From here on, no exception, warning or log record of this process moves the cursor or retitles the window."""
    sys.excepthook = show_exception
    threading.excepthook = lambda args: show_exception(args.exc_type, args.exc_value, args.exc_traceback)
    sys.unraisablehook = lambda args: show_exception(args.exc_type, args.exc_value, args.exc_traceback)
    warnings.formatwarning = _format_warning
    logging.setLogRecordFactory(_Record)


def show_exception(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None = None) -> None:
    """A traceback on stderr, as Python's own but visible. Texts of servers and models are in the messages of errors.

    Lost where stderr is a file on a full disk, or gone.
    """
    with contextlib.suppress(OSError, AttributeError):  # None at exit
        sys.stderr.write(visible("".join(traceback.format_exception(kind, error, trace))))


def _format_warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    return visible(f"{filename}:{lineno}: {category.__name__}: {message}\n")


class _Record(logging.LogRecord):
    """A log record whose text is visible, that of its exception included."""

    def getMessage(self) -> str:
        if self.exc_info and not self.exc_text:
            self.exc_text = visible("".join(traceback.format_exception(*self.exc_info)).rstrip("\n"))
        return visible(super().getMessage())
