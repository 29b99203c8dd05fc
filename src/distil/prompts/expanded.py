"""work/prompts/expanded.jsonl: prompts that the teacher wrote, kept apart from the user's own file, and how both become one.

Loading the prompts again keeps them; deleting the file forgets them. Used by stage.py and expand.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from distil.records import Prompt, Record
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_records


class Expanded(Record):
    """One prompt that the teacher wrote."""

    prompt: Prompt
    """In the group of its parent, so that both lie on one side of a split."""
    parent_id: str
    """The prompt that it was written after."""
    teacher: str
    """Who wrote it."""
    call_id: str
    """The ledger row with the whole reply."""


def expanded_path(project: Project) -> Path:
    """Where they lie."""
    return project.stage("prompts") / "expanded.jsonl"


def read_expanded(project: Project) -> list[Expanded]:
    """All of them; none when nothing was expanded. Raises UserError on a broken line."""
    path = expanded_path(project)
    return list(read_records(path, Expanded)) if path.exists() else []


def group_of(parent: Prompt) -> str:
    """The group of a parent and its children: the parent's own, or one named after it."""
    return parent.group or f"like {parent.id}"


def with_expanded(prompts: Sequence[Prompt], expanded: Sequence[Expanded]) -> list[Prompt]:
    """The user's prompts, then the written ones that are not among them; parents get their children's group."""
    parents = {one.parent_id for one in expanded}
    own = [
        prompt.model_copy(update={"group": group_of(prompt)})
        if prompt.id in parents and prompt.group is None
        else prompt
        for prompt in prompts
    ]
    known = {prompt.id: prompt for prompt in own}
    merged = list(own)
    for one in expanded:
        if one.prompt.id in known:
            continue
        parent = known.get(one.parent_id)
        prompt = one.prompt.model_copy(update={"group": parent.group}) if parent is not None else one.prompt
        known[prompt.id] = prompt
        merged.append(prompt)
    return merged
