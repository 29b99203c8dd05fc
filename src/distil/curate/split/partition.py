"""Rows in, a side for each prompt out: the whole split, with the file that it remembers by and what it says of itself.

Several answers to one prompt are one prompt here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from distil.curate.closest import closest_rows, highest_of, highest_similarity
from distil.curate.config import CurateConfig
from distil.curate.shingles import Shingles
from distil.curate.similar import EXACT_CELLS, shingle_sets
from distil.curate.split.assign import Assignment, Leak, assign
from distil.curate.split.components import Item
from distil.curate.split.contamination import drop_contaminated
from distil.curate.split.fill import Sizes
from distil.curate.split.links import Row, compared_text, document_keys, make_items
from distil.curate.split.meaning import ALIKE, CLOSEST, Meaning, compared_rows, installed, remaining, similar_pairs
from distil.curate.split.sides import remember, remembered
from distil.embeddings.embedder import use_cache
from distil.records import Answer, Prompt, Split, Verdict
from distil.runs.manifest import StageRun
from distil.runs.schemas.active import MayHoldOut, may_hold_out
from distil.runs.schemas.expanded import ancestors, read_expanded
from distil.text import one_line

CHOSEN = "`distil collect --active` chose it, or left it, by what a student knew, and it was held out before"
TWINS_SHARE = 0.01
"""Of the test prompts: with more twins in train, `curate.semantic` is advised."""


class Partition(NamedTuple):
    """The split, by prompt id."""

    sides: dict[str, Split]
    """Of the prompts that have one."""
    leaks: dict[str, str]
    """Why a prompt was dropped."""
    components: int
    """Independent groups of prompts."""
    largest: int
    """Prompts in the largest of them."""
    max_similarity: float | None
    """Highest Jaccard similarity between a training and a test prompt; None = one of the two is empty."""
    meaning: Meaning | None
    """The same by meaning; None = nothing can be embedded here."""
    notes: list[str]
    """For a person."""


def partition(
    stage: StageRun,
    pairs: Sequence[tuple[Prompt, Answer]],
    section: CurateConfig,
    verdicts: list[Verdict],
    *,
    closed: bool = False,
) -> Partition:
    """Gives each prompt its side, and writes sides.jsonl; the answers of those that have none get a verdict.

    closed: no prompt joins those that were test prompts before; one that would, is dropped.
    Raises UserError when `curate.semantic` can't be computed here, or a file of `curate.contamination` can't be read.
    """
    parts = _partition(stage, pairs, section, closed=closed)
    for prompt, answer in pairs:
        if (reason := parts.leaks.get(prompt.id)) is not None:
            dropped = Verdict(answer_id=answer.id, prompt_id=prompt.id, filter="leak", keep=False, reason=reason)
            verdicts.append(dropped)
    sides, notes = drop_contaminated(stage, pairs, parts.sides, section.contamination, verdicts)
    return parts._replace(sides=sides, notes=[*parts.notes, *notes])


def _partition(
    stage: StageRun, pairs: Sequence[tuple[Prompt, Answer]], section: CurateConfig, *, closed: bool
) -> Partition:
    project = stage.project
    use_cache(project.cache)
    rows = _rows(pairs)
    if project.expanded.exists():
        stage.reads(project.expanded)
    parents = {one.prompt.id: one.parent_id for one in read_expanded(project.expanded)}
    before = remembered(project, section)
    active = _active(stage)
    prompts = [row.prompt for row in rows]
    documents = document_keys(prompts)
    texts = [compared_text(prompt, documents) for prompt in prompts]
    sets = shingle_sets(texts)
    assignment = assign(
        only_trained_on(make_items(rows, ancestors(parents)), active),
        sets,
        near=section.near_duplicates,
        sizes=Sizes(section.test, section.validation, section.seed, closed, active.others if active else 0),
        remembered=before.sides,
        more=similar_pairs(texts, section.semantic) if section.semantic is not None else (),
    )
    if closed:
        assignment = _closed(assignment, prompts, before.sides)
    sides = {p.id: side for p, side in zip(prompts, assignment.splits, strict=True) if side is not None}
    stage.wrote(project.sides, remember(project, section, before.sides, sides))
    notes = [*([before.note] if before.note else []), *assignment.notes, *_template(assignment, texts)]
    if "test" in sides.values() and not installed():
        notes.append(
            "train and test were compared by characters only: `pip install 'distil[evaluate]'` compares them by meaning, too"
        )
    left = _left(texts, sets, assignment.splits)
    del sets
    meaning = remaining(texts, left.near, left.test) if left.near is not None else None
    if meaning is not None and meaning.twins > TWINS_SHARE * meaning.test and section.semantic is None:
        notes.append(
            f"{meaning.twins:,} test prompts are in train in other words, which flatters the student. Set "
            "curate.semantic: 0.95 to keep such prompts on one side."
        )
    return Partition(
        sides,
        {prompts[leak.row].id: leak.reason for leak in assignment.leaks},
        assignment.components,
        assignment.largest,
        left.highest,
        meaning,
        notes,
    )


def _closed(assignment: Assignment, prompts: Sequence[Prompt], before: Mapping[str, Split]) -> Assignment:
    """Without the rows that joined the test prompts: they belong to one, so that nobody may train on them either."""
    joined = {
        row for row, split in enumerate(assignment.splits) if split == "test" and before.get(prompts[row].id) != "test"
    }
    splits = [None if row in joined else split for row, split in enumerate(assignment.splits)]
    leaks = [Leak(row, "belongs to a test prompt, and these are kept as they are") for row in sorted(joined)]
    return assignment._replace(splits=splits, leaks=[*assignment.leaks, *leaks])


def _active(stage: StageRun) -> MayHoldOut | None:
    project = stage.project
    if project.active_rounds.exists():
        stage.reads(project.active_rounds)
    return may_hold_out(project.active_rounds, project.active_chosen)


def only_trained_on(items: Sequence[Item], active: MayHoldOut | None) -> list[Item]:
    """The items, where those that were not drawn at random are never held out, unless the user says so."""
    if active is None:
        return list(items)
    return [
        item
        if item.train_only is not None or item.fixed in ("test", "validation") or active.allows(item.key)
        else item._replace(train_only=CHOSEN)
        for item in items
    ]


def _rows(pairs: Sequence[tuple[Prompt, Answer]]) -> list[Row]:
    answers: dict[str, list[Answer]] = {}
    prompts: dict[str, Prompt] = {}
    for prompt, answer in pairs:
        prompts[prompt.id] = prompt
        answers.setdefault(prompt.id, []).append(answer)
    return [Row(prompt, answers[prompt.id]) for prompt in prompts.values()]


def _template(assignment: Assignment, texts: Sequence[str]) -> list[str]:
    template = assignment.template
    if template is None:
        return []
    return [
        f"One template glues the data together: {template.rows:,} prompts are near-duplicates of each other, such as "
        f'"{one_line(texts[template.example], 80)}". They are split by the part that differs, so train and test share the '
        "template. If they should not, give the rows of a template a `group`."
    ]


class _Left(NamedTuple):
    """What test prompts still share with training prompts."""

    highest: float | None
    """The highest similarity; None = one of the two is empty."""
    near: dict[int, list[int]] | None
    """Test row -> the closest training rows, to be compared by meaning; None = nothing can be embedded here."""
    test: int
    """Test rows."""


def _left(texts: Sequence[str], sets: Sequence[Shingles], splits: Sequence[Split | None]) -> _Left:
    train = [row for row, split in enumerate(splits) if split == "train"]
    test = [row for row, split in enumerate(splits) if split == "test"]
    if not train or not test:
        return _Left(None, None, len(test))
    able = installed()
    asked = compared_rows(texts, test, len(train)) if able else []
    corpus = [sets[row] for row in train]
    exact = len(train) * len(test) <= EXACT_CELLS
    rows = [*asked, *sorted(set(test).difference(asked))] if exact else asked  # one search for both
    found = closest_rows(corpus, [sets[row] for row in rows], CLOSEST) if rows else []
    highest = highest_of(found) if exact else highest_similarity(corpus, [sets[row] for row in test])
    if not able:
        return _Left(round(highest, 4), None, len(test))
    near = {
        row: [train[close.row] for close in closest if close.similarity >= ALIKE]
        for row, closest in zip(asked, found, strict=False)
    }
    return _Left(round(highest, 4), near, len(test))
