"""The card (README.md) of an exported student: its base, the data it learned, the verdict on it, licenses and terms.

Everything comes from the project's manifests and the last evaluation; what is not known is said to be unknown.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import distil
from distil.errors import UserError
from distil.records import Manifest
from distil.runs.artifacts import Project
from distil.runs.jsonl import write_lines
from distil.runs.manifest import read_manifest, stage_state
from distil.runs.schemas.notes import CollectNotes, TrainNotes
from distil.runs.schemas.summary import read_summary
from distil.text import one_line

_LICENSE = re.compile(r"^license:\s*([\w.+-]+)\s*$", re.MULTILINE)


def write_model_card(project: Project, name: str, path: Path) -> None:
    """Writes the card of a trained student to `path`."""
    write_lines(path, card(project, name))


def card(project: Project, name: str) -> Iterator[str]:
    """Its lines."""
    train, curate, collect = (
        read_manifest(project, stage, student)
        for stage, student in (("train", name), ("curate", None), ("collect", None))
    )
    notes = TrainNotes.of(train)
    base = str((notes.student or {}).get("model") or "unknown")
    known = _license(project.placed(base))
    base = (
        Path(base).name if Path(base).is_absolute() else base
    )  # a card that is published tells no path of this machine
    yield "---"
    yield f"base_model: {json.dumps(_plain(base))}"
    yield "library_name: transformers"
    yield "pipeline_tag: text-generation"
    yield "tags: [distillation]"
    yield f"license: {known or 'other'}"
    yield "---"
    yield f"\n# {_plain(name)}: {_plain(base)}, distilled\n"
    yield f"Trained and exported with Distil {distil.__version__}. The copy beside the original: `parity.json`.\n"
    yield from _training(train, notes)
    yield "\n## Data\n"
    yield from _data(train, curate)
    yield "\n## Verdict\n"
    yield from _verdict(project, name)
    yield "\n## License and terms\n"
    where = f"`{known}`, by its card" if known else "not known here: look it up before you publish or sell this model"
    yield f"- The base, {_plain(base)}: {where}."
    yield from (f"- {_plain(line, 1_000)}" for line in CollectNotes.of(collect).terms)


def _training(train: Manifest | None, notes: TrainNotes) -> Iterator[str]:
    if train is None:
        return
    config = train.config
    if config.get("learning_rate") in (None, "auto"):  # left open or found: the one that was taken
        config = {**config, "learning_rate": train.notes.get("learning_rate")}
    yield "| | |\n|---|---|"
    yield f"| teacher | {_plain(notes.teacher or 'the answers in the data')} |"
    for name in ("method", "epochs", "learning_rate", "seed"):
        if config.get(name) is not None:
            yield f"| {name.replace('_', ' ')} | {_plain(str(config[name]))} |"
    yield f"| trained | {train.finished[:16].replace('T', ' ')} UTC |"


def _data(train: Manifest | None, curate: Manifest | None) -> Iterator[str]:
    """What the training read, by its own hashes: the files in the project may have changed since."""
    yield "| read by the training | rows | sha256 |\n|---|---|---|"
    now = curate.outputs if curate else {}
    for path, stamp in train.inputs.items() if train else ():
        if Path(path).stem in ("train", "validation"):
            same = path in now and now[path].sha256 == stamp.sha256
            count = stamp.count or (now[path].count if same else None)
            yield f"| `{_plain(path)}` | {'unknown' if count is None else f'{count:,}'} | `{stamp.sha256}` |"


def _verdict(project: Project, name: str) -> Iterator[str]:
    if not project.summary(name).exists():
        yield "It was not evaluated."
        return
    try:
        summary = read_summary(project.summary(name))
    except UserError as error:
        yield _plain(str(error), 400)
        return
    state, reason = stage_state(project, "evaluate", name)
    if state != "done":
        yield f"The last evaluation is {state} ({_plain(reason)}), so it may be about other weights or data.\n"
    yield f"**{summary.verdict.decision}**: {_plain(summary.verdict.sentence, 1_000)}\n"
    yield f"On {summary.test_prompts:,} held-out prompts; intervals of {summary.confidence:.0%}.\n"
    rows = summary.rows()
    if rows:
        heads = list(rows[0])
        yield f"| {' | '.join(map(_plain, heads))} |\n|{'---|' * len(heads)}"
        yield from (f"| {' | '.join(_plain(row[head]) for head in heads)} |" for row in rows)


def _license(base: str) -> str | None:
    """The license that the base's own card names, where the base is a folder with one."""
    path = Path(base.removeprefix("local/")) / "README.md"
    found = _LICENSE.search(path.read_text(encoding="utf-8", errors="replace")[:4_000]) if path.is_file() else None
    return found[1] if found else None


def _plain(text: str, limit: int = 120) -> str:
    """Somebody else's words in a table of Markdown."""
    return one_line(text, limit).replace("|", "\\|").replace("<", "&lt;")
