"""Rows that ask the same and come to something else: how many there are, and which of them stay.

Only answers that come to a result (a label, a number, JSON, tool calls) can contradict each other: two open texts are two ways to
say something. A question is the same when its turns are, case and blanks aside, with the same tools and response format.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Container, Sequence
from typing import Literal, NamedTuple

from distil.curate.evidence.corpus import Pair
from distil.curate.votes import Task, final_of
from distil.final_answer import Final, same_final
from distil.records import Prompt, Verdict
from distil.text import normalize

Settle = Literal["majority", "first", "drop", "keep"]
FILTER = "contradiction"
"""Name in dropped.jsonl."""


class Contradiction(NamedTuple):
    """Rows with one question and several results."""

    rows: list[int]
    """Indices, in the order of the rows."""
    results: list[int]
    """Of each row: the number of its result, counted from 0 in the order of appearance."""
    shown: list[str]
    """The results for a person."""

    def winner(self, method: Settle, voting: Container[int] = ()) -> int | None:
        """The result that stays; None = none does. Of equally frequent results the first stays.

        voting: the rows that decide, where there are some.
        """
        if method == "drop":
            return None
        results = [result for row, result in zip(self.rows, self.results, strict=True) if row in voting] or self.results
        counts = Counter(results)
        return results[0] if method == "first" else max(counts, key=lambda result: (counts[result], -result))


def question_key(prompt: Prompt) -> str:
    """Equal for prompts that ask the same, case, quotes and blanks aside."""
    turns = [[turn.role, normalize(turn.text), json.dumps(turn.tool_calls)] for turn in prompt.messages]
    images = [part for turn in prompt.messages if isinstance(turn.content, list) for part in turn.content]
    return json.dumps([turns, [part for part in images if "text" not in part], prompt.tools, prompt.response_format])


def find(pairs: Sequence[Pair], task: Task) -> list[Contradiction]:
    """All contradictions among rows, one answer a row."""
    asked: dict[str, list[int]] = {}
    for index, pair in enumerate(pairs):
        asked.setdefault(question_key(pair.prompt), []).append(index)
    found = []
    for asking in asked.values():
        if len(asking) < 2:
            continue
        finals = {row: final_of(*pairs[row], task) for row in asking}
        rows = [row for row in asking if finals[row].kind != "text"]
        different: list[Final] = []
        results = []
        for row in rows:
            number = next((i for i, one in enumerate(different) if same_final(one, finals[row])), len(different))
            different += [finals[row]] if number == len(different) else []
            results.append(number)
        if len(different) > 1:
            found.append(Contradiction(rows, results, [final.shown for final in different]))
    return found


def settle(
    pairs: Sequence[Pair],
    task: Task,
    method: Settle,
    verdicts: list[Verdict],
    *,
    prefer: Container[str] = (),
) -> list[Pair]:
    """The rows that stay; the others get a verdict. Rows that the user fixed as test or validation always stay.

    prefer: prompts with an answer to train on, whose rows decide where there are some.
    """
    gone: set[int] = set()
    voting = {row for row, pair in enumerate(pairs) if pair.prompt.id in prefer}
    for contradiction in [] if method == "keep" else find(pairs, task):
        winner = contradiction.winner(method, voting)
        counts = Counter(contradiction.results)
        listed = ", ".join(f"{shown} ({counts[i]})" for i, shown in enumerate(contradiction.shown))
        for row, result in zip(contradiction.rows, contradiction.results, strict=True):
            prompt, answer = pairs[row]
            if result == winner or prompt.split in ("test", "validation"):
                continue
            gone.add(row)
            stays = "none stays" if winner is None else f"{contradiction.shown[winner]} stays"
            reason = f"the same question has different answers: {listed}; {stays}"
            verdicts.append(Verdict(answer_id=answer.id, prompt_id=prompt.id, filter=FILTER, keep=False, reason=reason))
    return [pair for index, pair in enumerate(pairs) if index not in gone]
