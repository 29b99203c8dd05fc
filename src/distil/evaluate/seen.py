"""A student is not tested on what it was trained on: refused, with what to do.

Today's split has no training row among the test rows; but the student may have been trained on an earlier one (another
`curate.seed`, a `split` that was edited), and its answers to these prompts would say nothing. Called before anything is answered.
"""

from __future__ import annotations

from collections.abc import Sequence

from distil.errors import UserError
from distil.records import Example
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_records
from distil.runs.manifest import read_manifest, stamp
from distil.runs.schemas.trained import Trained, asked_key
from distil.text import one_line


def refuse_trained(project: Project, name: str, tests: Sequence[Example]) -> list[str]:
    """Raises UserError when a student that was trained here has learned a test prompt's answer. Returns notes for a person."""
    path = project.trained(name)
    if not path.exists():
        return _unknown(project, name)
    rows = list(read_records(path, Trained))
    prompts = {row.prompt_id for row in rows}
    asked = {key for row in rows for key in row.asked}
    seen = [test for test in tests if test.prompt_id in prompts or asked_key(test.prompt_messages) in asked]
    if not seen:
        return []
    example = f'{seen[0].prompt_id}: "{one_line(seen[0].prompt_messages[-1].text, 60)}"'
    raise UserError(
        f"{name} was trained on {len(seen):,} of the {len(tests):,} prompts that are test prompts now ({example}), so the "
        "evaluation would measure its memory: the split has changed since. Train one on today's rows: "
        f"`distil train --as {name}-2`, then `distil evaluate {name}-2`. Or set curate.seed and the prompts' `split` as "
        "they were then, and run `distil curate`."
    )


def _unknown(project: Project, name: str) -> list[str]:
    """An older version of Distil did not note the rows: nothing to say while train.jsonl is what the student was trained on."""
    manifest = read_manifest(project, "train", name)
    train = project.split("train")
    then = manifest.inputs.get(project.relative(train)) if manifest is not None else None
    if then is None or (train.exists() and stamp(train).sha256 == then.sha256):
        return []
    return [
        f"train.jsonl has changed since {name} was trained, by a version that did not note its rows: whether it was trained on "
        "test prompts can't be checked. Train it again to be sure."
    ]
