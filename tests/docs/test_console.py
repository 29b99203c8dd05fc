"""The console blocks of the pages are run in order, in one process and on recorded answers: all but what trains or serves."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from distil.cli.main import cli
from tests.docs.blocks import PAGES, ROOT, blocks, commands
from tests.docs.test_commands import PAGES as RUN_WHOLE

CONSOLE = [page for page in PAGES if blocks(page, "console") and page not in RUN_WHOLE]
DEAR = ("train", "calibrate", "serve", "signals", "run", "until", "demo", "selfcheck")
"""Commands that are only checked (test_blocks.py), as are evaluations of what would have been trained."""
QUESTIONS = [
    (f"where is parcel {n * 7919 % 1000}, case {n}?", ("delivery", "refund", "other")[n % 3]) for n in range(100)
]


def material(folder: Path) -> dict[str, str]:
    """What the pages' files may hold; the models of their commands -> recorded ones."""
    with (folder / "questions.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("prompt", "reference"), *QUESTIONS])
    rows = {
        "answers": [{"prompt": asked, "output": said} for asked, said in QUESTIONS],
        "training": [{"messages": _turns(asked, said)} for asked, said in QUESTIONS],
        "log": [_logged(asked, said) for asked, said in QUESTIONS],
    }
    rows |= dict.fromkeys(("second", "third"), rows["answers"])
    for name, lines in rows.items():
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    teachers = {
        "openai/gpt-5-mini": "answers",
        "anthropic/claude-haiku-4-5": "second",
        "google/gemini-2.5-flash": "third",
    }
    recorded = {model: f"recorded/{folder / name}.jsonl" for model, name in teachers.items()}
    return recorded | {"Qwen/Qwen3-0.6B": "bundled/student"}


def _recorded(word: str, replaced: dict[str, str]) -> str:
    """A word of a command with recorded models in the place of those that it names."""
    for model, recording in replaced.items():
        word = word.replace(model, recording)
    return word


def _turns(asked: str, said: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": asked}, {"role": "assistant", "content": said}]


def _logged(asked: str, said: str) -> dict[str, object]:
    """A request with its reply, as a proxy in front of OpenAI writes it down."""
    turns = _turns(asked, said)
    choice = {"index": 0, "message": turns[1], "finish_reason": "stop"}
    usage = {"prompt_tokens": 20, "completion_tokens": 2, "total_tokens": 22}
    reply = {"id": "chatcmpl-1", "model": "gpt-4o-mini", "choices": [choice], "usage": usage}
    return {"request": {"model": "gpt-4o-mini", "messages": turns[:1]}, "response": reply}


@pytest.mark.parametrize("page", CONSOLE, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_console_of_a_page_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replaced = material(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for words in (words for block in blocks(page, "console") for words in commands(block)):
        if words[0] == "cd":
            monkeypatch.chdir(words[1])
        elif words[1] not in DEAR and (words[1] != "evaluate" or "--answers" in words):
            cli.main([_recorded(word, replaced) for word in words[1:]], standalone_mode=False)
