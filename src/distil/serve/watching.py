"""Sets up who watches a gateway: the page, the log of requests, OpenTelemetry. What they are told is in served.py."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from distil.calls.config import TeacherConfig
from distil.calls.prices import price_of
from distil.errors import UserError
from distil.serve.config import ServeConfig
from distil.serve.gateway import Gateway
from distil.serve.page.board import About, Board, Promise
from distil.serve.page.fallbacks import Fallbacks
from distil.serve.request_log import RequestLog, form_of
from distil.serve.served import Served
from distil.serve.tracing import spans


def watch(
    gateway: Gateway,
    section: ServeConfig,
    *,
    promise: str = "",
    teacher: TeacherConfig | None = None,
    marks: Path | None = None,
) -> Gateway:
    """Adds them and returns the gateway. promise: the calibration's, in words. marks: None = no project to keep them in."""
    used = teacher if gateway.teacher is not None else None
    about = About(
        name=gateway.name,
        teacher=None if used is None else used.model,
        promise=lambda: promise_of(gateway, promise),
        live=lambda: None if gateway.live is None else gateway.live(),
        worth=None if used is None else worth_of(used),
    )
    fallbacks = Fallbacks(marks, None if used is None else used.model, None if used is None else used.sampling)
    gateway.board = Board(about, fallbacks)
    gateway.watchers.append(gateway.board)
    gateway.refusals.append(gateway.board.refuse)
    form = form_of(section.log)
    if form != "off":
        log = RequestLog(form)
        gateway.watchers.append(log)
        gateway.refusals.append(log.refuse)
        gateway.at_end.append(log.stop)
    traced = spans()
    if traced is not None:
        gateway.watchers.append(traced[0])
        gateway.at_end.append(traced[1])
    return gateway


def promise_of(gateway: Gateway, promise: str) -> Promise:
    """What the page says of the promise."""
    policy = gateway.policy
    if policy.closed:
        return Promise(
            "void", f"Refuted in production: more answers are bad than promised. The teacher answers. It was: {promise}"
        )
    if policy.changed:
        return Promise(
            "void",
            "The server behind serve.engine answers otherwise than when the threshold was found, or was not compared yet. The "
            f"teacher answers. It was: {promise}",
        )
    if policy.mode == "calibrated":
        return Promise("none" if policy.threshold is None else "certified", promise)
    words = {
        "off": "The student answers everything. Nothing is promised about its answers.",
        "always": "The teacher answers everything.",
        "threshold": f"The student answers from a confidence of {policy.threshold} on, which nobody has checked. "
        "`distil calibrate` finds one with a promise.",
    }
    return Promise("uncalibrated", words[policy.mode])


def worth_of(teacher: TeacherConfig) -> Callable[[Served], float] | None:
    """What the teacher would have charged for the tokens of an answer, in dollars; None where its price is not known."""
    try:
        quote = price_of(teacher.model, teacher.price)
    except UserError:  # said where the gateway starts
        return None
    return lambda served: quote.cost(served.reply.usage)
