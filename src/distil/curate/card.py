"""The card (README.md) of an exported data set: what is in it, where it comes from, what was dropped and why, terms, dates.

`datasets.load_dataset(FOLDER)` reads its header; people read the rest. Every figure comes from the stages' manifests.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import distil
from distil.ids import now
from distil.records import Manifest
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_examples, write_lines
from distil.runs.manifest import read_manifest
from distil.runs.schemas.notes import CollectNotes, CurateCounts
from distil.text import one_line

_COLUMNS = """| column | holds |
|---|---|
| `messages` | the conversation with the answer as its last turn; an assistant turn of weight 0 is context only |
| `tools` | tool definitions, as JSON text |
| `prompt_id`, `answer_id` | hashes that lead back to the prompt and to the paid request |
| `teacher` | the model that answered |
| `reference` | the correct answer, where the prompts had one |
| `group` | rows of one group are on one side of the split |"""


def write_card(project: Project, rows: Mapping[str, int], left_out: Mapping[str, int], path: Path) -> None:
    """Writes the card to `path`. rows: side -> rows; left_out: reason -> rows that the format can't hold."""
    write_lines(path, [*_header(rows), *_body(project, rows, left_out)])


def _header(rows: Mapping[str, int]) -> Iterator[str]:
    yield "---"
    yield "configs:"
    yield "- config_name: default"
    yield "  data_files:"
    for side in rows:
        yield f"  - split: {side}"
        yield f"    path: {side}.parquet"
    yield "license: other"
    yield "tags: [distillation, synthetic]"
    yield "---"


def _body(project: Project, rows: Mapping[str, int], left_out: Mapping[str, int]) -> Iterator[str]:
    prompts, collect, curate = (read_manifest(project, stage) for stage in ("prompts", "collect", "curate"))
    yield f"\n# {_plain(project.root.name)}: training data distilled from a teacher\n"
    yield f"Written by Distil {distil.__version__} (`distil export --data datasets`) on {now('seconds')[:10]}.\n"
    yield "| split | rows |\n|---|---|"
    yield from (f"| {side} | {count:,} |" for side, count in rows.items())
    yield "\nThe test prompts are not in here: they are what the student is measured on.\n"
    yield _COLUMNS
    yield "\n## Where the answers come from\n"
    yield from _teachers(project, rows, collect)
    yield "\n## What was dropped\n"
    yield from _dropped(curate, left_out)
    yield "\n## Lineage\n"
    yield from _lineage((prompts, collect, curate))
    yield "\n## Terms\n"
    terms = CollectNotes.of(collect).terms
    yield from (f"- {_plain(line, 1_000)}" for line in terms)
    if not terms:
        yield "No vendor's terms are known for these teachers: look them up before you publish the data or a model trained on it."


def _teachers(project: Project, rows: Mapping[str, int], collect: Manifest | None) -> Iterator[str]:
    counts = Counter(e.teacher or "reference" for side in rows for e in read_examples(project.split(side)))
    yield "| teacher | curated rows | sampling |\n|---|---|---|"
    sampling = {}
    for teacher in (collect.config.get("teachers") or []) if collect else []:
        if isinstance(teacher, dict):
            used = {name: value for name, value in (teacher.get("sampling") or {}).items() if value is not None}
            sampling[teacher.get("model")] = ", ".join(f"{name} {value}" for name, value in used.items())
    for name, count in counts.most_common():
        yield f"| {_plain(name)} | {count:,} | {_plain(sampling.get(name) or '-', 400)} |"


def _dropped(curate: Manifest | None, left_out: Mapping[str, int]) -> Iterator[str]:
    counts = CurateCounts.of(curate)
    yield f"Of {counts.answers:,} answers:\n" if counts.answers else "Of the answers:\n"
    yield "| filter or step | answers |\n|---|---|"
    yield from (
        f"| {_plain(name)} | {count:,} |" for name, count in sorted(counts.dropped.items(), key=lambda c: -c[1])
    )
    yield from (f"| not held by this format: {_plain(reason)} | {count:,} |" for reason, count in left_out.items())
    if curate is not None:
        yield f"\nSettings: `{_plain(json.dumps(curate.config, ensure_ascii=False), 4_000).replace('`', '')}`"


def _lineage(manifests: tuple[Manifest | None, ...]) -> Iterator[str]:
    yield "| stage | from | to | file | sha256 |\n|---|---|---|---|---|"
    for manifest in manifests:
        for path, stamp in manifest.outputs.items() if manifest else ():
            when = f"{manifest.started[:16]} | {manifest.finished[:16]}" if manifest else ""
            yield f"| {manifest.stage if manifest else ''} | {when} | `{_plain(path)}` | `{stamp.sha256}` |"


def _plain(text: str, limit: int = 120) -> str:
    """Somebody else's words in a table of Markdown."""
    return one_line(text, limit).replace("|", "\\|").replace("<", "&lt;")
