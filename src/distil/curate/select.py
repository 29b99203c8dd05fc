"""Joining answers to their prompts. Not the filters (evidence/), the choice (answers.py) and duplicates (duplicates.py)."""

from __future__ import annotations

from collections.abc import Sequence

from distil.curate.evidence.corpus import Pair
from distil.records import Answer, Prompt


def join(prompts: Sequence[Prompt], answers: Sequence[Answer], teachers: Sequence[str] | None) -> list[Pair]:
    """Every answer with its prompt: prompts in their order, answers by teacher (in the given order) and sample."""
    order = {name: rank for rank, name in enumerate(teachers or dict.fromkeys(a.teacher for a in answers))}
    of_prompt: dict[str, list[Answer]] = {}
    for answer in answers:
        of_prompt.setdefault(answer.prompt_id, []).append(answer)
    return [
        Pair(prompt, answer)
        for prompt in prompts
        for answer in sorted(
            of_prompt.get(prompt.id, []), key=lambda a: (order.get(a.teacher, len(order)), a.sample, a.id)
        )
    ]
