"""`distil ledger --reconcile FILE` and `--forgive`: what may have been paid is settled from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from distil.calls.ledger.rows import AnsweredRow, AttemptRow, IntentRow
from distil.calls.ledger.store import Ledger
from distil.cli.main import cli
from distil.errors import UserError
from distil.runs.artifacts import Project

MODEL = "openai/gpt-4o-mini"
DAY = "2026-08-04T10:00:00.000+00:00"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A ledger with an answer for $1.00 and two requests without one that may have cost $0.30 each."""
    teacher = {"teachers": [{"model": MODEL}], "student": {"model": "bundled/student"}}
    (tmp_path / "distil.yaml").write_text(json.dumps({"prompts": {"path": "prompts.jsonl"}, **teacher}))
    with Ledger(Project(tmp_path).ledger) as ledger:
        writer = ledger.start()
        paid = (MODEL, "e", "standard", 0, "r", 1, 1, 0, 0, 1.0, None, None, None, None, DAY, None)
        writer.put([AnsweredRow("paid", "collect", *paid)]).result()
        for key in ("lost", "cut"):
            writer.put([IntentRow(key, "collect", MODEL, "e", "standard", 0, ledger.run, 0.3, DAY)]).result()
            writer.put([AttemptRow(key, DAY, "timeout", "no reply", 1.0, 0.3, None)]).result()
    return tmp_path


def ledger_of(folder: Path, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["ledger", *arguments, "--project", str(folder)])


def invoice(folder: Path, text: str) -> str:
    path = folder / "invoice.csv"
    path.write_text(text)
    return str(path)


def test_an_invoice_settles_at_the_command_line(folder: Path) -> None:
    before = ledger_of(folder)
    assert "at most 2 requests / $0.60" in before.output and "--reconcile INVOICE.csv" in before.output
    file = invoice(folder, "date,model,cost\n2026-08-04,gpt-4o-mini-2024-07-18,1.20\n")
    done = ledger_of(folder, "--reconcile", file)
    assert done.exit_code == 0, done.output
    words = "the invoice has $1.20, the ledger knew of $1.00; so of 2 requests that may have cost $0.60, $0.20 count as paid"
    assert words in " ".join(done.output.split())
    after = ledger_of(folder).output
    assert "may have been paid" not in after and "Beside these, $0.20 for second replies" in after
    with Ledger(Project(folder).ledger) as ledger:
        assert ledger.spent("collect") == pytest.approx(1.2)


def test_the_users_word_settles_at_the_command_line(folder: Path) -> None:
    done = ledger_of(folder, "--forgive", "--json")
    assert done.exit_code == 0, done.output
    assert '"paid_usd": 0.0' in done.output and '"requests": 2' in done.output
    again = ledger_of(folder, "--forgive")
    assert again.exit_code == 0 and "Nothing is open" in again.output
    with Ledger(Project(folder).ledger) as ledger:
        assert ledger.spent("collect") == 1.0 and ledger.uncertain().requests == 0


def test_a_wrong_invoice_settles_nothing(folder: Path) -> None:
    tokens = invoice(folder, "start_time,input_tokens,output_tokens,model\n1,2,3,m\n")
    for file, words in (
        (tokens, "no column for a cost. Found: start_time, input_tokens"),
        (str(folder / "none.csv"), "Could not read the invoice"),
    ):
        refused = ledger_of(folder, "--reconcile", file)
        assert isinstance(refused.exception, UserError) and words in str(refused.exception)
    with Ledger(Project(folder).ledger) as ledger:
        assert ledger.uncertain().requests == 2
