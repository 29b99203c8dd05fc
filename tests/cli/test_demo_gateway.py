"""The end of the demo: which messages are sent to the gateway, and what is printed of them."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from distil.cli.demo import RISK, demo_config
from distil.cli.demo_gateway import Answered, show_gateway, two_messages
from distil.errors import WorkFailed
from distil.records import Prediction
from distil.runs.artifacts import Project
from distil.runs.jsonl import write_records
from tests.report.sample import calibration
from tests.serve.calibration.test_calibrate import example


def test_the_surest_and_the_least_sure_message_are_sent(tmp_path: Path) -> None:
    """None of those set apart, and none where nothing is certified."""
    project, config = Project(tmp_path), demo_config(1)
    rows = [example(n, 0.5, "test", right=True) for n in range(5)]
    rows[0] = rows[0].model_copy(update={"fields": {"wording": "unseen"}})
    write_records(project.split("test"), rows)
    predictions = [
        Prediction(
            id=str(n), prompt_id=row.prompt_id, model="s", text="x", finish_reason="stop", output_tokens=1,
            token_logprobs=[-5.0 if n == 0 else -0.1 * n],
        )
        for n, row in enumerate(rows)
    ]  # fmt: skip
    write_records(project.calibration_predictions("s"), predictions)
    certified = calibration("s")
    assert two_messages(project, config, certified) == [rows[1], rows[4]]
    assert two_messages(project, config, certified.model_copy(update={"threshold": None})) == []


def test_both_answers_are_shown_with_their_headers(capsys: pytest.CaptureFixture[str]) -> None:
    headers = {"x-distil-answered-by": "teacher", "x-distil-reason": "unsure", "x-distil-confidence": "0.41"}
    show_gateway(calibration("s"), [Answered("Where is\nmy order?", '{"a": 1}\x1b[2J', headers)])
    printed = click.unstyle(capsys.readouterr().out)
    assert printed.startswith("CERTIFIED (s answers 70% itself, the teacher the rest): With 95% confidence, at most 5%")
    assert "> Where is my order?" in printed and "\x1b" not in printed
    assert "x-distil-answered-by: teacher  x-distil-confidence: 0.41  x-distil-reason: unsure" in printed
    show_gateway(calibration("s").model_copy(update={"threshold": None, "promise": "No threshold."}), [])
    assert capsys.readouterr().out == "NOT CERTIFIED (the teacher answers everything): No threshold.\n"


def test_the_demo_promises_what_it_names() -> None:
    assert demo_config(1).serve.risk == RISK == 0.1


def test_a_gateway_that_ends_at_once_says_why(tmp_path: Path) -> None:
    from distil.cli.demo_gateway import ask_gateway

    with pytest.raises(WorkFailed, match=r"The gateway did not start\. It said: (.|\n)*distil"):
        ask_gateway(Project(tmp_path), "s", [])
