"""The end of `distil demo`: the threshold with its promise, and the gateway answering both ways, over HTTP and with its headers.

One test message is the one that the student is surest of, the other one that it is unsure of, so that the teacher answers.
"""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from distil.bundled.server import stop_process
from distil.cli.options import echo
from distil.errors import WorkFailed
from distil.text import one_line

if TYPE_CHECKING:
    from distil.config import Config
    from distil.records import Example
    from distil.runs.artifacts import Project
    from distil.runs.schemas.calibration import Calibration

START_S = 180.0
REPLY_S = 120.0
SHOWN = 110
"""Characters of a message and of an answer that are shown."""


class Answered(NamedTuple):
    """One request to the gateway."""

    asked: str
    answer: str
    headers: dict[str, str]
    """The `x-distil-` headers of the reply."""


def calibrate_demo(project: Project, config: Config, name: str) -> Calibration:
    """Finds the threshold of a student, unless it is there for the same files and settings. Raises UserError."""
    from distil.pipeline import calibrate_student
    from distil.runs.manifest import stage_state
    from distil.serve.stage import read_calibration

    if stage_state(project, "serve", name, config.serve.model_dump(mode="json"))[0] == "done":
        return read_calibration(project, name)
    return calibrate_student(project, config, name)


def two_messages(project: Project, config: Config, calibration: Calibration) -> list[Example]:
    """The test messages that the student is surest and least sure of; none where nothing is certified."""
    from distil.evaluate.slices import is_apart
    from distil.records import Prediction
    from distil.runs.jsonl import read_examples, read_records
    from distil.serve.calibration.confidence import confidence
    from distil.serve.calibration.scored import as_reply

    if calibration.threshold is None:
        return []
    sure: dict[str, float] = {}
    for prediction in read_records(project.calibration_predictions(calibration.student), Prediction):
        found = confidence(as_reply(prediction), calibration.score, calibration.prefix_tokens)
        if found is not None:
            sure[prediction.prompt_id] = found
    tests = [
        example
        for example in read_examples(project.split("test"))
        if example.prompt_id in sure and not is_apart(example, config.evaluate.set_apart)
    ]
    ordered = sorted(tests, key=lambda example: sure[example.prompt_id])
    return [ordered[-1], ordered[0]] if ordered else []


def ask_gateway(project: Project, name: str, examples: list[Example]) -> list[Answered]:
    """Starts `distil serve NAME` on a free port, sends each message once, and stops it. Raises WorkFailed."""
    with _gateway(project, name) as address:
        return [_ask(address, name, example) for example in examples]


@contextmanager
def _gateway(project: Project, name: str) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--project", str(project.root), "--set", f"serve.port={port}"]
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "distil", "serve", name, *options], stdout=said, stderr=said, text=True
        )
        try:
            _wait(process, f"http://127.0.0.1:{port}/readyz")
            yield f"http://127.0.0.1:{port}/v1/chat/completions"
        except WorkFailed as error:
            said.seek(0)
            raise WorkFailed(f"{error} It said: {said.read().strip()[-500:]}") from None
        finally:
            stop_process(process, REPLY_S)


def _wait(process: subprocess.Popen[str], url: str) -> None:
    until = time.monotonic() + START_S
    while time.monotonic() < until and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (OSError, http.client.HTTPException):
            time.sleep(0.2)
    raise WorkFailed("The gateway did not start.")


def _ask(url: str, name: str, example: Example) -> Answered:
    body = {"model": name, "messages": [turn.to_wire() for turn in example.prompt_messages]}
    request = urllib.request.Request(url, json.dumps(body).encode(), {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=REPLY_S) as reply:
            answer = json.load(reply)["choices"][0]["message"]["content"]
            headers = {key: value for key, value in reply.headers.items() if key.startswith("x-distil-")}
    except (OSError, http.client.HTTPException, ValueError, LookupError) as error:
        raise WorkFailed(f"The gateway did not answer ({error}).") from None
    return Answered(example.prompt_messages[-1].text, str(answer), headers)


def show_gateway(calibration: Calibration, answered: list[Answered]) -> None:
    """Prints the promise, and the requests with their answers and headers."""
    share = f"{calibration.student} answers {calibration.coverage:.0%} itself, the teacher the rest"
    echo("CERTIFIED" if calibration.threshold is not None else "NOT CERTIFIED", bold=True, nl=False)
    echo(
        f" ({share if calibration.threshold is not None else 'the teacher answers everything'}): {calibration.promise}"
    )
    if answered:
        echo(f"The gateway, as `distil serve {calibration.student}` starts it:")
    for one in answered:
        echo(f"  > {one_line(one.asked, SHOWN)}")
        echo(f"  < {one_line(one.answer, SHOWN)}")
        echo("  " + "  ".join(f"{key}: {value}" for key, value in sorted(one.headers.items())), dim=True)
