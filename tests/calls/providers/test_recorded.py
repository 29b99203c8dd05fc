"""recorded/FILE.jsonl: answers that are already in a file."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from distil.calls.faults import CallFailed
from distil.calls.providers.base import LocalProvider, Parsed
from distil.calls.providers.recorded import RecordedProvider
from distil.calls.request import Request
from distil.endings import ending
from distil.errors import UserError
from distil.records import Answer, Message, Prompt, Sampling
from distil.runs.jsonl import read_lines, record_line
from tests.sources.shapes import LOGS
from tests.wire.ask import question


def write(folder: Path, *lines: Any) -> RecordedProvider:
    path = folder / "said.jsonl"
    path.write_text(
        "".join(line if isinstance(line, str) else json.dumps(line) + "\n" for line in lines), encoding="utf-8"
    )
    return RecordedProvider("said.jsonl", folder)


def answer(provider: RecordedProvider, request: Request) -> Parsed:
    return asyncio.run(provider.answer(request))


@pytest.mark.parametrize(
    "line",
    [
        {"prompt": "How many legs has a spider?", "output": "Eight.", "generator": "gpt4"},
        {"instruction": "How many legs has a spider?", "response": "Eight."},
        {
            "messages": [
                {"role": "user", "content": "How many legs has a spider?"},
                {"role": "assistant", "content": "Eight."},
            ]
        },
        {"prompt": [{"role": "user", "content": "How many legs has a spider?"}], "completion": "Eight."},
        {
            "request": {"model": "m", "messages": [{"role": "user", "content": "How many legs has a spider?"}]},
            "response": {
                "choices": [{"message": {"content": "Eight."}, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 9},
            },
        },
    ],
)
def test_every_known_shape_of_a_line_answers(tmp_path: Path, line: dict[str, Any]) -> None:
    parsed = answer(write(tmp_path, line), question())
    assert parsed.text == "Eight." and parsed.finish_reason == "stop" and parsed.usage.input_tokens > 0


def test_thinking_may_stand_in_a_column(tmp_path: Path) -> None:
    line = {"prompt": "How many legs has a spider?", "output": "Eight.", "reasoning": "Four on each side."}
    parsed = answer(write(tmp_path, line), question())
    assert (parsed.text, parsed.reasoning) == ("Eight.", "Four on each side.")


def test_a_system_turn_distinguishes_but_never_hides_an_answer(tmp_path: Path) -> None:
    turn = {"role": "user", "content": "Hi"}
    polite = {
        "messages": [{"role": "system", "content": "Polite"}, turn, {"role": "assistant", "content": "Good day."}]
    }
    rude = {"messages": [{"role": "system", "content": "Rude"}, turn, {"role": "assistant", "content": "What?"}]}
    provider = write(tmp_path, polite, rude, {"prompt": "Bye", "output": "See you."})

    def with_system(system: str, text: str) -> Request:
        return Request(model="m", messages=[Message(role="system", content=system), Message(role="user", content=text)])

    assert answer(provider, with_system("Rude", "Hi")).text == "What?"
    assert answer(provider, with_system("Polite", "Hi")).text == "Good day."
    assert answer(provider, with_system("Anything", "Bye")).text == "See you."


def test_distils_own_answer_lines_are_found_by_prompt_id(tmp_path: Path) -> None:
    prompt = Prompt.make([Message(role="user", content="Hi")])
    said = Answer(
        id="a",
        prompt_id=prompt.id,
        teacher="t",
        sampling=Sampling(),
        text="Hello.",
        reasoning="Greet.",
        finish_reason="length",
        call_id="c",
    )
    parsed = answer(write(tmp_path, record_line(said) + "\n"), question("Hi"))
    assert (parsed.text, parsed.reasoning, parsed.finish_reason) == ("Hello.", "Greet.", "length")


def test_several_lines_of_one_prompt_are_its_samples(tmp_path: Path) -> None:
    provider = write(tmp_path, {"prompt": "Hi", "output": "One."}, {"prompt": "Hi", "output": "Two."})
    assert [answer(provider, question("Hi", sample=n)).text for n in range(2)] == ["One.", "Two."]
    with pytest.raises(CallFailed, match="only 2 answers"):
        answer(provider, question("Hi", sample=2))


def test_a_prompt_without_a_recorded_answer_fails_alone(tmp_path: Path) -> None:
    provider = write(tmp_path, {"prompt": "Hi", "output": "Hello."})
    with pytest.raises(CallFailed, match="no answer") as caught:
        answer(provider, question("Something else"))
    assert caught.value.fault.kind == "bad_request" and not caught.value.fault.retryable
    assert answer(provider, question("Hi")).text == "Hello."


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"prompt": "Hi", \n', "line 2: not valid JSON"),
        ('["prompt"]\n', "line 2: found a JSON list"),
        ('{"prompt": "Hi"}\n', "line 2: found the fields prompt; expected a prompt and an answer"),
        ('{"output": "Hi"}\n', "expected a prompt and an answer"),
        ('{"messages": [{"role": "robot", "content": "x"}], "output": "y"}\n', "line 2: field 'role'"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        write(tmp_path, {"prompt": "Hi", "output": "Hello."}, line)


def test_a_missing_file_says_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"recorded/FILE\.jsonl"):
        RecordedProvider("nowhere.jsonl", tmp_path)


def test_another_file_is_another_teacher(tmp_path: Path) -> None:
    first = write(tmp_path, {"prompt": "Hi", "output": "One."}).identity()
    second = write(tmp_path, {"prompt": "Hi", "output": "Two."}).identity()
    assert first != second
    assert isinstance(write(tmp_path, {"prompt": "Hi", "output": "One."}), LocalProvider)


def test_the_real_answers_of_gpt4_are_all_found(data_dir: Callable[[str], Path]) -> None:
    path = data_dir("alpaca_eval/gpt4.jsonl")
    provider = RecordedProvider(str(path))
    for _, line in read_lines(path):
        assert answer(provider, question(line["prompt"])).text == line["output"]


ALPACA = [
    {"instruction": "Translate to French", "input": "Good morning", "output": "Bonjour"},
    {"instruction": "Translate to French", "input": "Good night", "output": "Bonne nuit"},
]


@pytest.mark.parametrize("glue", ["\n", "\n\n", " "])
def test_an_instruction_is_asked_with_its_input(tmp_path: Path, glue: str) -> None:
    provider = write(tmp_path, *ALPACA)
    for row in ALPACA:
        parsed = answer(provider, question(glue.join((row["instruction"], row["input"]))))
        assert parsed.text == row["output"]
    with pytest.raises(CallFailed, match="no answer"):
        answer(provider, question("Translate to French"))


@pytest.mark.parametrize("name", ["a.json", "a.jsonl.gz", "a.csv", "list.jsonl", "indented.json"])
def test_answers_are_found_in_files_of_any_kind(tmp_path: Path, name: str) -> None:
    text = "".join(json.dumps(row) + "\n" for row in ALPACA).encode()
    table = "instruction;input;output\nTranslate to French;Good morning;Bonjour\nTranslate to French;Good night;Bonne nuit\n"
    content = {
        "a.jsonl.gz": gzip.compress(text),
        "a.csv": table.encode("utf-16"),
        "indented.json": json.dumps(ALPACA, indent=1).encode(),
    }
    (tmp_path / name).write_bytes(content.get(name, json.dumps(ALPACA).encode()))
    provider = RecordedProvider(name, tmp_path)
    for row in ALPACA:
        assert answer(provider, question(f"{row['instruction']}\n{row['input']}")).text == row["output"]


def test_the_recorded_answers_of_any_log_are_found(tmp_path: Path) -> None:
    asked = question("Hi?").model_copy(
        update={"messages": [Message(role="system", content="Be brief."), *question("Hi?").messages]}
    )
    for name, row in LOGS.items():
        parsed = answer(write(tmp_path, row), asked)
        assert (parsed.text, ending(parsed.finish_reason)) == ("Yo.", "ok"), name


@pytest.mark.parametrize(
    "empty",
    [
        {"prompt": "How many legs has a spider?", "output": ""},
        {"prompt": "How many legs has a spider?", "output": None},
        {"question": "How many legs has a spider?", "answer": " "},
        {
            "messages": [
                {"role": "user", "content": "How many legs has a spider?"},
                {"role": "assistant", "content": ""},
            ]
        },
    ],
)
def test_an_empty_answer_fails_alone(tmp_path: Path, empty: dict[str, Any]) -> None:
    provider = write(tmp_path, empty, {"prompt": "How many has an ant?", "output": "Six."})
    with pytest.raises(CallFailed, match="the answer is empty"):
        answer(provider, question())
    assert answer(provider, question("How many has an ant?")).text == "Six."
