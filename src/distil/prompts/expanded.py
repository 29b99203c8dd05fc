"""Prompts that the teacher wrote are merged with the user's: work/prompts/expanded.jsonl into prompts.jsonl.

Loading the prompts again keeps them; deleting the file removes them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from distil.records import Prompt
from distil.runs.schemas.expanded import Expanded


def group_of(parent: Prompt) -> str:
    """The group of a parent and its children: the parent's, or one named after it."""
    return parent.group or f"like {parent.id}"


def merge_expanded(prompts: Iterable[Prompt], expanded: Sequence[Expanded]) -> list[Prompt]:
    """The user's prompts, then the expanded ones that are not among them; parents get their children's group."""
    parents = {item.parent_id for item in expanded}
    by_id: dict[str, Prompt] = {}
    for prompt in prompts:
        grouped = prompt.id in parents and prompt.group is None
        by_id[prompt.id] = prompt.model_copy(update={"group": group_of(prompt)}) if grouped else prompt
    for item in expanded:
        if item.prompt.id not in by_id:
            parent = by_id.get(item.parent_id)
            group = {"group": parent.group} if parent is not None else {}
            by_id[item.prompt.id] = item.prompt.model_copy(update=group)
    return list(by_id.values())
