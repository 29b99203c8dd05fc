"""Training rows that repeat a benchmark: `curate.contamination` names its files, and such rows are dropped, not trained on.

A row is contaminated if one of its turns has 50 letters and digits in a row in common with a question of the benchmark, whatever
the blanks, case and marks between them (the measure of OpenAI's GPT-4 technical report, 2023, appendix C), or if it is a shorter
question as a whole. What more than a twentieth of the questions share is their form ("Answer the following question ...") and
does not count. Test rows are left alone. Paraphrases are not found.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from distil.records import Answer, Prompt, Split, Verdict
from distil.runs.manifest import StageRun
from distil.sources.files import open_source
from distil.sources.rows import nothing_asked, read_row
from distil.text import is_instruction, normalize, one_line

WIDTH = 50
"""Letters and digits of a window."""
FORM_SHARE, FORM_ROWS = 0.05, 3
"""A window of more questions than this share, and this number, is the benchmark's form."""
_BASE = 0x9E3779B97F4A7C15  # odd, so that it has an inverse modulo 2^64
_INVERSE = pow(_BASE, -1, 2**64)

Windows = NDArray[np.uint64]


class Benchmark(NamedTuple):
    """The questions of some files, ready to be searched for."""

    questions: list[str]
    """As they stand."""
    where: list[str]
    """`file, line 3`, for each."""
    whole: dict[str, int]
    """Letters of a question that is too short for a window of its own -> its index."""
    windows: Windows
    """Sorted hashes of all windows."""
    owners: NDArray[np.int64]
    """Index of a question with each of them."""


def drop_contaminated(
    stage: StageRun,
    rows: Sequence[tuple[Prompt, Answer]],
    sides: Mapping[str, Split],
    files: Sequence[str],
    verdicts: list[Verdict],
) -> tuple[dict[str, Split], list[str]]:
    """The sides without the contaminated training and validation rows, and notes. Raises UserError on a bad file."""
    if not files:
        return dict(sides), []
    benchmark = read_benchmark(stage, files)
    found: dict[str, int] = {}
    for prompt, answer in rows:
        if sides.get(prompt.id) in ("train", "validation"):
            turns = [turn.text for turn in prompt.messages if not is_instruction(turn)]
            hit = find(benchmark, [*turns, answer.text])
            if hit is not None:
                found.setdefault(prompt.id, hit)
                reason = f'it repeats {benchmark.where[hit]}: "{one_line(benchmark.questions[hit], 60)}"'
                verdicts.append(
                    Verdict(answer_id=answer.id, prompt_id=prompt.id, filter="contamination", keep=False, reason=reason)
                )
    note = f"{len(found):,} prompts repeat one of the {len(benchmark.questions):,} questions of {', '.join(files)}" + (
        " and are dropped: their reasons are in dropped.jsonl" if found else ""
    )
    return {key: side for key, side in sides.items() if key not in found}, [note]


def read_benchmark(stage: StageRun, files: Sequence[str]) -> Benchmark:
    """Reads the questions of all files, by the reader of `prompts.path`; paths are relative to the project."""
    questions, where = [], []
    for name in files:
        path = (stage.project.root / Path(name).expanduser()).resolve()
        rows = open_source(path, setting="curate.contamination")
        for row in rows:
            exchange = read_row(row)
            asked = [turn.text for turn in exchange.messages() if turn.role == "user"]
            if not asked:
                raise nothing_asked(exchange, row.fields)
            questions.append("\n".join(asked))
            where.append(row.where)
        stage.reads(path)
    return _index(questions, where)


def find(benchmark: Benchmark, turns: Sequence[str]) -> int | None:
    """The question that one of the turns repeats, or None."""
    for turn in turns:
        text = letters(turn)
        if text in benchmark.whole:
            return benchmark.whole[text]
        hashes = windows(text)
        if not hashes.size or not benchmark.windows.size:
            continue
        at = np.minimum(benchmark.windows.searchsorted(hashes), benchmark.windows.size - 1)
        for start in np.flatnonzero(benchmark.windows[at] == hashes):
            owner = int(benchmark.owners[at[start]])
            if text[start : start + WIDTH] in letters(benchmark.questions[owner]):  # equal hashes may be chance
                return owner
    return None


def letters(text: str) -> str:
    """The letters and digits of a text, folded; one of Chinese, Japanese or Korean counts as three."""
    return "".join(sign * 3 if "\u2e80" <= sign <= "\ud7ff" else sign for sign in normalize(text) if sign.isalnum())


def windows(text: str) -> Windows:
    """(max(0, characters - WIDTH + 1),) hashes of all windows, by a prefix sum of c[k] * base^k modulo 2^64."""
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32).astype(np.uint64)
    if codes.size < WIDTH:
        return np.zeros(0, dtype=np.uint64)
    codes = (codes + np.uint64(1)) * np.uint64(0xBF58476D1CE4E5B9)
    sums = np.concatenate(([np.uint64(0)], np.cumsum(codes * _powers(_BASE, codes.size), dtype=np.uint64)))
    return (sums[WIDTH:] - sums[:-WIDTH]) * _powers(_INVERSE, codes.size - WIDTH + 1)


def _powers(base: int, count: int) -> Windows:
    """1, base, base^2, ... modulo 2^64."""
    factors = np.full(count, base, dtype=np.uint64)
    factors[0] = 1
    return np.cumprod(factors, dtype=np.uint64)


def _index(questions: list[str], where: list[str]) -> Benchmark:
    texts = [letters(question) for question in questions]
    of_text = [windows(text) for text in texts]
    distinct, counts = _counted([np.unique(found) for found in of_text])
    form = distinct[counts > max(FORM_ROWS, FORM_SHARE * len(texts))]
    own = [np.unique(_outside(found, form)) for found in of_text]
    flat = np.concatenate([*own, np.zeros(0, dtype=np.uint64)])
    owners = np.repeat(np.arange(len(texts)), [found.size for found in own])
    kept, first = np.unique(flat, return_index=True)
    short = _once(text if not found.size else "" for text, found in zip(texts, own, strict=True))
    return Benchmark(questions, where, short, kept, owners[first])


def _counted(of_text: Sequence[Windows]) -> tuple[Windows, NDArray[np.int64]]:
    return np.unique(np.concatenate([*of_text, np.zeros(0, dtype=np.uint64)]), return_counts=True)


def _outside(found: Windows, form: Windows) -> Windows:
    """The windows of a text that hold no letter of the form."""
    starts = np.flatnonzero(np.isin(found, form))
    if not starts.size:
        return found
    letter = np.zeros(found.size + WIDTH, dtype=np.int64)
    np.add.at(letter, starts, 1)
    np.add.at(letter, starts + WIDTH, -1)
    inside = np.concatenate(([0], np.cumsum(np.cumsum(letter) > 0)))
    return found[inside[WIDTH : WIDTH + found.size] == inside[: found.size]]


def _once(texts: Iterator[str]) -> dict[str, int]:
    """Text -> its first index, without the empty ones."""
    found: dict[str, int] = {}
    for index, text in enumerate(texts):
        if text:
            found.setdefault(text, index)
    return found
