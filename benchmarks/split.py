"""How clean the split is on data that hides its leakage: logged chats, documents, templates, growing data, paraphrases.

    python benchmarks/split.py [--data DIR] [chats documents templates growth paraphrases benchmark]

Texts are cut from GPT-4's answers of alpaca_eval, so that they read like language and repeat no sentence. Each case prints what
the stage says, and what was counted in its files by other means than the stage's. DIR: the folder with alpaca_eval, banking77
and gsm8k (docs/results_data.md says where they come from). All cases together take a minute of CPU.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import resource
import tempfile
from collections.abc import Callable
from pathlib import Path

from distil.curate.config import CurateConfig
from distil.curate.stage import CurateResult, run
from distil.embeddings.embedder import embedder
from distil.ids import content_id
from distil.records import Answer, Example, Message, Prompt, Sampling
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_examples, read_lines, write_records
from distil.text import normalize

DEFAULT_DATA = Path(os.environ.get("DISTIL_DATA", Path(__file__).parents[2] / "shared" / "data"))
Pairs = list[tuple[Prompt, str]]
Say = Callable[[int], str]


def asked(text: str, system: str | None = None) -> Prompt:
    turns = [Message(role="system", content=system)] if system else []
    return Prompt.make([*turns, Message(role="user", content=text)])


def curate(
    pairs: Pairs, folder: Path | None = None, **settings: object
) -> tuple[dict[str, list[Example]], CurateResult]:
    """The examples of each side, and what the stage says; folder: a project that is curated again."""
    project = Project(folder or tempfile.mkdtemp(prefix="distil-split-"))
    answers = [
        Answer(
            id=content_id("answer", prompt.id),
            prompt_id=prompt.id,
            teacher="t",
            sampling=Sampling(),
            text=text,
            finish_reason="stop",
            call_id="c",
        )
        for prompt, text in pairs_by_id(pairs).values()
    ]
    write_records(project.prompts, [prompt for prompt, _ in pairs_by_id(pairs).values()])
    write_records(project.answers, answers)
    before = resource.getrusage(resource.RUSAGE_SELF)
    result = run(project, CurateConfig.model_validate({"filters": [], **settings}))
    after = resource.getrusage(resource.RUSAGE_SELF)
    print(f"  {after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime:.1f} CPU s")
    for name, value in result.rows():
        print(f"  {name}: {value}")
    return {side: list(read_examples(project.split(side))) for side in ("train", "validation", "test")}, result


def pairs_by_id(pairs: Pairs) -> dict[str, tuple[Prompt, str]]:
    return {prompt.id: (prompt, text) for prompt, text in pairs}


def chats(say: Say, data: Path) -> None:
    """200 chats of 4 turns, logged as 800 requests with growing prefixes."""
    pairs: Pairs = []
    for _ in range(200):
        turns = [Message(role="system", content="You are a helpful assistant.")]
        for _ in range(4):
            turns = [*turns, Message(role="user", content=say(12))]
            pairs.append((Prompt.make(turns), say(15)))
            turns = [*turns, Message(role="assistant", content=pairs[-1][1])]
    sides, _ = curate(pairs)
    taught = {normalize(m.text) for e in sides["train"] for m in e.messages if m.role == "assistant"}
    print(
        f"  test answers that a training conversation teaches: {sum(normalize(e.answer) in taught for e in sides['test'])}"
    )


def documents(say: Say, data: Path) -> None:
    """120 documents in the system turn, the same 5 questions about each."""
    questions = [
        "Sum it up in one sentence.",
        "Who wrote it?",
        "What does it claim?",
        "Name three keywords.",
        "Is it kind?",
    ]
    pairs: Pairs = []
    for _ in range(120):
        system = f"Answer from this text:\n{say(120)}"
        pairs += [(asked(question, system), say(15)) for question in questions]
    sides, _ = curate(pairs)
    of_side = {side: {e.messages[0].text for e in examples} for side, examples in sides.items()}
    print(f"  test documents that train has, too: {len(of_side['test'] & of_side['train'])} of {len(of_side['test'])}")


def templates(say: Say, data: Path) -> None:
    """900 prompts of 3 templates."""
    forms = [
        "What is the weather forecast for {} on day {} of next month, please answer briefly, with the temperature",
        "Book me a table in the best restaurant of {} for {} people tonight, near the central station, with a view",
        "Translate the name of the city {} and the number {} into French, German and Spanish, in one table of three lines",
    ]
    cities = ["Paris", "Rome", "Oslo", "Lima", "Cairo", "Tokyo", "Delhi", "Quito", "Sofia", "Minsk"]
    rows = [
        (asked(form.format(city, day)), form, city, day) for form in forms for city in cities for day in range(1, 31)
    ]
    curate(
        [
            (prompt, json.dumps({"form": forms.index(form), "city": city, "day": day}))
            for prompt, form, city, day in rows
        ]
    )


def growth(say: Say, data: Path) -> None:
    """600 real prompts; then 300 that resemble some of them, and 200 of them with a system turn."""
    rows = [(asked(row["prompt"]), row["output"]) for _, row in read_lines(data / "alpaca_eval" / "gpt4.jsonl")][:600]
    folder = Path(tempfile.mkdtemp(prefix="distil-split-"))
    before, _ = curate(rows, folder)
    side = {e.prompt_id: name for name, examples in before.items() for e in examples}
    rng = random.Random(0)
    more = [
        (asked(f"{prompt.messages[0].text} {say(rng.randrange(1, 4))}"), say(15))
        for prompt, _ in rng.choices(rows, k=300)
    ]
    again = [(asked(prompt.messages[0].text, "Be brief."), say(15)) for prompt, _ in rows[:200]]
    after, _ = curate([*more, *again, *rows], folder)
    now = {e.prompt_id: name for name, examples in after.items() for e in examples}
    moved = sum(side[key] != now[key] for key in side if key in now)
    print(f"  of {len(side)} old prompts {moved} have another side, {len(side.keys() - now.keys())} are dropped")


def paraphrases(say: Say, data: Path) -> None:
    """banking77's 10,003 training questions: the default, and all cosines by hand; then curate.semantic."""
    with (data / "banking77" / "banking_train.csv").open(newline="") as file:
        pairs = [(asked(row["text"]), row["category"]) for row in csv.DictReader(file)]
    for semantic in (None, 0.95):
        print(f"  curate.semantic: {semantic}")
        sides, _ = curate(pairs, semantic=semantic)
        print(f"  by all cosines: {twins(sides)}")


def twins(sides: dict[str, list[Example]]) -> str:
    test, train = ([e.messages[-2].text for e in sides[side]] for side in ("test", "train"))
    best = (embedder().vectors(test) @ embedder().vectors(train).T).max(axis=1)
    counts = [int((best >= cosine).sum()) for cosine in (0.98, 0.95)]
    return f"{counts[0]} of {len(test)} test prompts have a twin in train (0.98), {counts[1]} a close one (0.95)"


def benchmark(say: Say, data: Path) -> None:
    """440 questions of gsm8k's test file hidden among 805 prompts: how many are found, and how many others."""
    path = data / "gsm8k" / "test.jsonl"
    planted = [(asked(f"Solve it step by step.\n{row['question']}"), "3") for _, row in read_lines(path)][::3]
    others = [(asked(row["prompt"]), row["output"]) for _, row in read_lines(data / "alpaca_eval" / "gpt4.jsonl")]
    _, result = curate([*planted, *others], test=0, validation=0, contamination=[str(path)])
    print(f"  planted {len(planted)}, dropped {result.dropped.get('contamination', 0)}")


CASES = (chats, documents, templates, growth, paraphrases, benchmark)


def main() -> None:
    """Runs the cases that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", choices=[[], *(case.__name__ for case in CASES)])
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA)
    given = parser.parse_args()
    words = [w for _, row in read_lines(given.data / "alpaca_eval" / "gpt4.jsonl") for w in row["output"].split()]
    rng = random.Random(0)

    def say(count: int) -> str:
        start = rng.randrange(len(words) - count)
        return " ".join(words[start : start + count])

    for case in CASES:
        if not given.cases or case.__name__ in given.cases:
            print(f"{case.__name__}: {case.__doc__}")
            case(say, given.data)


if __name__ == "__main__":
    main()
