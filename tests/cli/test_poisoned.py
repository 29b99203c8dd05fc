"""Every command on a project that is poisoned everywhere: no escape sequence of a server, a model or a file reaches the "
"terminal."""

from __future__ import annotations

import io
import json
import logging
import shutil
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from distil.calls.ledger.rows import AttemptRow, FailedRow, IntentRow
from distil.calls.ledger.store import Ledger, Recorded
from distil.cli import main
from distil.cli.main import COMMANDS
from distil.progress import _LiveBar
from distil.records import Usage
from distil.terminal import guard, show_exception
from tests.report.sample import make_project

HOSTILE = "\x1b]0;PWNED\x07\x1b]52;c;cm0gLXJmIC8=\x07\x1b[2J\x9b31m\u202eevil\u2066\x08\r\x7f"
FORBIDDEN = set("\x00\x07\x08\x1b\r\x7f\x9b\u202e\u2066")
FREE = {
    "text",
    "content",
    "reason",
    "teacher",
    "model",
    "task",
    "message",
    "terms",
    "reference",
    "error",
    "summary",
    "note",
    "promise",
}
"""Fields that may hold any text: with these poisoned, commands still work."""
RUNS: dict[str, list[list[str]]] = {
    "status": [[]],
    "view": [[what] for what in ("prompts", "answers", "train", "test", "dropped", "predictions")]
    + [["answers", "--id", HOSTILE]],
    "ledger": [["--last", "9"], ["--show", "call_1"], ["--show", HOSTILE], ["--export", "OUT/calls.jsonl"]],
    "doctor": [[]],
    "cost": [[], ["--what-if"]],
    "config": [["show"], ["show", HOSTILE], ["set", f"task={HOSTILE}"], ["set", f"{HOSTILE}=1"]],
    "report": [[]],
    "plan": [[]],
    "compare": [["sft", "logits"], ["sft", HOSTILE]],
    "collect": [["--dry-run"], ["--limit", "1"]],
    "curate": [[]],
    "prompts": [["load"], ["coverage"]],
    "evaluate": [["nobody"]],
    "calibrate": [["nobody"]],
    "export": [["nobody"]],
    "signals": [["inspect"]],
    "serve": [["nobody"]],
    "train": [["--as", f"x{HOSTILE}"]],
    "batches": [[]],
    "until": [["SHIP", "--budget", "1", "--dry-run"]],
    "forecast": [["ROOT/prompts.jsonl"], ["ROOT/log.jsonl"]],
    "init": [["OUT/new", "--teacher", f"openai/{HOSTILE}"]],
}
LEFT_OUT = {"run", "demo", "selfcheck", "mcp"}
"""run is the stages above; demo and selfcheck read no project; mcp speaks JSON, see test_mcp.py."""


def spoiled(value: object, everything: bool, field: str = "") -> object:
    """The value with the escapes behind its texts: all of them, or those of free fields."""
    if isinstance(value, dict):
        return {name: spoiled(item, everything, name) for name, item in value.items()}
    if isinstance(value, list):
        return [spoiled(item, everything, field) for item in value]
    return value + HOSTILE if isinstance(value, str) and (everything or field in FREE) else value


def poison(root: Path, everything: bool) -> None:
    for path in [*root.rglob("*.jsonl"), *root.rglob("*.json")]:
        lines = (
            path.read_text(encoding="utf-8").splitlines()
            if path.suffix == ".jsonl"
            else [path.read_text(encoding="utf-8")]
        )
        made = [json.dumps(spoiled(json.loads(line), everything), ensure_ascii=False) for line in lines]
        path.write_text("\n".join(made) + "\n", encoding="utf-8")
    turns, said = [{"role": "user", "content": HOSTILE}], {"role": "assistant", "content": HOSTILE}
    logged = {
        "request": {"model": HOSTILE, "messages": turns},
        "response": {"model": HOSTILE, "choices": [{"message": said}]},
    }
    (root / "log.jsonl").write_text((json.dumps(logged, ensure_ascii=False) + "\n") * 3, encoding="utf-8")
    config = (root / "distil.yaml").read_text(encoding="utf-8")
    quoted = json.dumps(f"openai/gpt-4o-mini{HOSTILE}")
    config = config.replace("openai/gpt-4o-mini", quoted).replace("support triage", json.dumps(f"triage{HOSTILE}"))
    (root / "distil.yaml").write_text(config, encoding="utf-8")
    rows = [json.dumps({"prompt": f"Hi {HOSTILE}"}), f'{{"prompt": {HOSTILE}'][: 2 if everything else 1]
    (root / "prompts.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")
    with Ledger(root / "ledger.sqlite") as ledger:
        body = json.dumps({"text": HOSTILE}, ensure_ascii=False).encode()
        model = f"openai/gpt-4o-mini{HOSTILE}"
        reply = Recorded(
            "call_1", "collect", model, body, body, Usage(input_tokens=1), 0.5, f"https://{HOSTILE}", request_id=HOSTILE
        )
        ledger.record([reply])
        intent = IntentRow("call_2", "collect", model, HOSTILE, "standard", 0, ledger.run, 0.5, "2026-01-01T00:00:00")
        ledger.intend([intent])
        attempt = AttemptRow("call_2", "2026-01-01T00:00:00", "garbled", HOSTILE, 1.0, 0.5, body)
        ledger.start().put([attempt, FailedRow("call_2", HOSTILE)]).result(10)
    (root / "work" / "collect" / "failures.jsonl").write_text(
        json.dumps(
            {"answer_id": "a", "prompt_id": "p", "teacher": HOSTILE, "sample": 0, "kind": "garbled", "why": HOSTILE}
        )
        + "\n",
        encoding="utf-8",
    )


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_project(tmp_path_factory.mktemp("clean"), train=20, test=8, students=("sft", "logits")).root


@pytest.fixture(scope="module", params=[False, True], ids=["free texts", "everything"])
def project(request: pytest.FixtureRequest, clean: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("poisoned") / "name \x1b[2J\u202e"
    shutil.copytree(clean, root)
    poison(root, request.param)
    return root


@pytest.fixture(autouse=True)
def hooks() -> Iterator[None]:
    kept = (
        sys.excepthook,
        threading.excepthook,
        sys.unraisablehook,
        warnings.formatwarning,
        logging.getLogRecordFactory(),
    )
    yield
    sys.excepthook, threading.excepthook, sys.unraisablehook, warnings.formatwarning = kept[:4]
    logging.setLogRecordFactory(kept[4])


def test_every_command_is_tried() -> None:
    assert set(RUNS) | LEFT_OUT == set(COMMANDS)


@pytest.mark.parametrize("command", sorted(RUNS))
def test_nothing_hostile_reaches_the_terminal(
    command: str, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", f"sk-{HOSTILE}")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    root = tmp_path / project.name
    shutil.copytree(project, root)
    seen = ""
    for number, arguments in enumerate(RUNS[command]):
        typed = [
            argument.replace("OUT", str(tmp_path / f"out{number}")).replace("ROOT", str(root)) for argument in arguments
        ]
        where = [] if command == "init" else ["--project", str(root)]
        for form in ([], ["--json"]):
            monkeypatch.setattr(sys, "argv", ["distil", command, *typed, *where, *form])
            with pytest.raises(SystemExit) as ended:
                try:
                    main.main()
                except Exception as error:  # what the interpreter would do with it
                    show_exception(type(error), error, error.__traceback__)
                    sys.exit(1)
            printed = capsys.readouterr()
            assert ended.value.code in (0, 1, 2, 3, 4)
            for text in (printed.out, printed.err):
                assert not FORBIDDEN & set(text), (command, typed, form, text)
            seen += printed.out + printed.err
    assert "PWNED" in seen if command == "ledger" else seen


def test_what_others_print_is_visible_too(capsys: pytest.CaptureFixture[str]) -> None:
    guard()
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    logger = logging.getLogger("somebody else's")
    logger.addHandler(handler)
    try:
        raise ValueError(HOSTILE)
    except ValueError:
        logger.exception("it says %s", HOSTILE)
    logger.removeHandler(handler)
    stream.write(warnings.formatwarning(HOSTILE, UserWarning, HOSTILE, 1))
    show_exception(ValueError, ValueError(HOSTILE))
    for text in (stream.getvalue(), capsys.readouterr().err):
        assert "ValueError" in text or "UserWarning" in text
        assert not FORBIDDEN & set(text)


def test_a_traceback_of_a_real_process_is_visible() -> None:
    code = f"from distil.terminal import guard; guard(); raise ValueError({HOSTILE!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert "ValueError: ␛]0;PWNED" in done.stderr and not FORBIDDEN & set(done.stderr)


def test_a_live_bar_draws_no_others_escapes(monkeypatch: pytest.MonkeyPatch) -> None:
    from rich import console

    stream, real = io.StringIO(), console.Console
    monkeypatch.setattr(console, "Console", lambda **options: real(file=stream, force_terminal=True, width=100))
    bar = _LiveBar(f"label [bold] {HOSTILE}", 10, "answers")
    bar.update(5, f"note [red] {HOSTILE}")
    bar._close()
    drawn = stream.getvalue()
    assert "PWNED" in drawn and "[bold]" in drawn
    assert "\x1b]" not in drawn and not (FORBIDDEN - {"\x1b", "\r"}) & set(drawn) and "\x1b[2J" not in drawn
