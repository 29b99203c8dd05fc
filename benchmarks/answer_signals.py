"""Signals about an answer's form and safety, measured: python benchmarks/answer_signals.py --data DIR

Planted secrets and harmless strings (detect-secrets beside it where that is installed: `pip install detect-secrets==1.5.0`),
planted loops and right repetition, false drops on real answers, and CPU seconds for 100,000 texts of 340 characters.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import resource
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from distil.curate.evidence.corpus import Corpus
from distil.curate.evidence.loops import find_loop
from distil.curate.evidence.personal import find_personal
from distil.curate.evidence.repetition import repetition
from distil.secrets import find_secrets
from tests.curate.material import answer, prompt
from tests.curate.test_repetition import LOOPS, RIGHT
from tests.curate.test_secrets import HARMLESS, PLANTED

PLAIN = Corpus(json_share=0.0, same_script_share=1.0, answers=100)
MODELS = ("gpt4", "claude-2", "text_davinci_003", "alpaca-7b", "vicuna-7b-v1.3")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with alpaca_eval/ and gsm8k/")
    folder = parser.parse_args().data
    print("secrets:", found_of(lambda text: bool(find_secrets(text))))
    if importlib.util.find_spec("detect_secrets"):
        print("detect-secrets:", found_of(peer))
    loops = sum(find_loop(text) is not None for text in LOOPS.values())
    wrong = sum(find_loop(text) is not None for text in RIGHT.values())
    print(f"loops: {loops} of {len(LOOPS)} found, {wrong} of {len(RIGHT)} right ones taken for one")
    texts = real(folder)
    rate("repetition", find_loop, texts)
    rate("secrets", find_secrets, texts)
    rate("personal data", find_personal, texts)


def found_of(check: Callable[[str], bool]) -> str:
    """Found and falsely found, in words."""
    found = sum(check(f"Here it is:\n{text}\nThanks.") for text in PLANTED.values())
    return f"{found} of {len(PLANTED)} kinds found, {sum(map(check, HARMLESS))} of {len(HARMLESS)} harmless strings taken for one"


def peer(text: str) -> bool:
    """detect-secrets with its default plugins."""
    from detect_secrets import SecretsCollection
    from detect_secrets.settings import default_settings

    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file, default_settings():
        file.write(text)
        file.flush()
        secrets = SecretsCollection()
        secrets.scan_file(file.name)
        return bool(list(secrets))


def real(folder: Path) -> list[str]:
    """All real answers; prints those that count as loops."""
    texts = []
    for model in MODELS:
        rows = [json.loads(line) for line in (folder / "alpaca_eval" / f"{model}.jsonl").open(encoding="utf-8")]
        report(model, [(row["prompt"], row["output"] or "") for row in rows])
        texts += [row["output"] or "" for row in rows]
    solutions = (folder / "gsm8k" / "example_model_solutions.jsonl").open(encoding="utf-8")
    rows = [json.loads(line) for line in solutions]
    pairs = [(row["question"], value["solution"]) for row in rows for value in row.values() if isinstance(value, dict)]
    report("gsm8k, four models", pairs)
    return texts + [text for _, text in pairs]


def report(name: str, pairs: Sequence[tuple[str, str]]) -> None:
    """One line about the loops among some answers."""
    found = []
    for asked, text in pairs:
        question = prompt(asked)
        loop = repetition(question, answer(question, text), PLAIN)
        found += [loop.detail] if loop else []
    keys = sum(len(find_secrets(text)) for _, text in pairs)
    print(f"{name}: {len(pairs):,} answers, {len(found)} loops, {keys} secrets. {'; '.join(map(str, found))}")


def rate(name: str, function: Callable[[str], object], texts: Sequence[str]) -> None:
    """CPU seconds for 100,000 pieces of 340 characters of real answers."""
    pieces = [text[at : at + 340] for text in texts for at in range(0, len(text), 340)][:10_000]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    for piece in pieces:
        function(piece)
    spent = resource.getrusage(resource.RUSAGE_SELF).ru_utime - before
    print(f"{name}: {spent * 100_000 / len(pieces):.1f} CPU s for 100,000 texts of 340 characters")


if __name__ == "__main__":
    main()
