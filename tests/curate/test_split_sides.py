"""A prompt keeps its side, whatever comes, goes or turns out to belong to it; what would leak is dropped with the reason."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from distil.curate.config import CurateConfig
from distil.curate.shingles import jaccard, shingles, text_key
from distil.curate.split.assign import Assignment, assign
from distil.curate.split.components import Item, Near
from distil.curate.split.fill import Sizes
from distil.curate.stage import CurateResult, run
from distil.prompts.expanded import merge_expanded
from distil.prompts.self_instruct import child
from distil.records import Answer, Prompt, Split, Verdict
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_examples, read_records, write_records
from distil.runs.schemas.expanded import Expanded
from distil.runs.schemas.sides import Side, read_sides
from tests.curate.material import answer, distinct_text, project_with, prompt

NEAR = 0.7
Rows = list[tuple[Item, str]]


@st.composite
def rows(draw: st.DrawFn) -> Rows:
    """Rows of which many are equal, nearly equal, or of one group; texts that bridge two others among them."""
    made = []
    for number in range(draw(st.integers(2, 25))):
        base = draw(st.integers(0, 12))
        bridge = draw(st.sampled_from([None, None, None, base + 1]))
        text = distinct_text(base) + (
            f" {distinct_text(bridge)}" if bridge is not None else draw(st.sampled_from(["", "!", " ok"]))
        )
        group = draw(st.sampled_from([None, None, None, "g1", "g2", "g3"]))
        links = [("text", text_key(text))] + ([("group", group)] if group else [])
        written = draw(st.sampled_from([None, None, None, None, "a teacher wrote it"]))
        made.append((Item(f"prompt_{number:03d}", tuple(links), None, written), text))
    return made


def split(made: Rows, before: dict[str, Split] | None = None) -> Assignment:
    return assign(
        [item for item, _ in made],
        [shingles(text) for _, text in made],
        near=NEAR,
        sizes=Sizes(5, 0.2, 0),
        remembered=before,
    )


def by_key(made: Rows, assignment: Assignment) -> dict[str, Split]:
    pairs = zip(made, assignment.splits, strict=True)
    return {item.key: side for (item, _), side in pairs if side is not None}


@given(rows(), st.data())
@settings(max_examples=50, deadline=None)
def test_no_row_moves_when_rows_come_go_or_change_places(made: Rows, data: st.DataObject) -> None:
    before = list(made[: data.draw(st.integers(1, len(made)))])
    old = by_key(before, split(before))
    later = [row for row in made if data.draw(st.booleans()) or row not in before]
    data.draw(st.randoms(use_true_random=False)).shuffle(later)
    assignment = split(later, old)
    new = by_key(later, assignment)
    assert {key for key, side in new.items() if old.get(key, side) != side} == set()
    reasons = {leak.row: leak.reason for leak in assignment.leaks}
    for index, (item, _) in enumerate(later):
        assert (item.key in new) != (index in reasons)


@given(rows(), st.integers(1, 24))
@settings(max_examples=50, deadline=None)
def test_nothing_leaks_when_new_rows_join_old_sides(made: Rows, first: int) -> None:
    before = made[:first]
    sides = by_key(made, split(made, by_key(before, split(before))))
    for item, text in made:
        for other, another in made:
            if item.key in sides and other.key in sides and sides[item.key] != sides[other.key]:
                assert not set(item.links) & set(other.links)
                assert jaccard(shingles(text), shingles(another)) < NEAR
    assert all(sides.get(item.key, "train") == "train" for item, _ in made if item.train_only)


def test_a_row_between_two_sides_is_dropped_and_says_why() -> None:
    made: Rows = [(Item(f"p{n}", (("text", str(n)),)), distinct_text(n)) for n in range(30)]
    old = by_key(made, split(made))
    train, test = (next(key for key, side in old.items() if side == wanted) for wanted in ("train", "test"))
    links = (("text", train[1:]), ("text", test[1:]))
    after = split([*made, (Item("new", links), "something else altogether")], old)
    assert [leak.reason for leak in after.leaks] == [f"same text as the test prompt {test}"]
    assert by_key(made, after._replace(splits=after.splits[:-1])) == old


def test_pairs_of_equal_meaning_are_kept_together() -> None:
    made: Rows = [(Item(f"p{n:02d}", (("text", str(n)),)), distinct_text(n)) for n in range(30)]
    pairs = [Near(n, n + 15, "the same in meaning (cosine 0.99) as") for n in range(15)]
    sets = [shingles(text) for _, text in made]
    splits = assign([item for item, _ in made], sets, near=None, sizes=Sizes(8, 0.2, 0), more=pairs).splits
    assert splits[:15] == splits[15:] and splits.count("test") == 8


def curate(project: Project, **settings: Any) -> CurateResult:
    return run(project, CurateConfig(**{"filters": [], **settings}))


def sides(project: Project) -> dict[str, str]:
    found = {}
    for side in ("train", "validation", "test"):
        found |= {example.prompt_id: side for example in read_examples(project.split(side))}
    return found


def many(first: int, last: int) -> tuple[list[Prompt], list[Answer]]:
    prompts = [prompt(f"{distinct_text(n)} {n * 31 + 7} {n * n * 13}") for n in range(first, last)]
    return prompts, [answer(p, f"answer {n} to {p.messages[-1].text}") for n, p in enumerate(prompts)]


def test_adding_prompts_moves_no_old_one(tmp_path: Path) -> None:
    """Also when the new ones are old ones with another system turn, as they come first in the file, and after a removal."""
    prompts, answers = many(0, 120)
    project = project_with(tmp_path, prompts, answers)
    curate(project, test=30)
    old = sides(project)
    assert read_sides(project.sides) == old
    again = [prompt(p.messages[-1].text, system="Be brief.") for p in prompts[:40]]
    more, more_answers = many(200, 260)
    said = [answer(p, f"short {n}") for n, p in enumerate(again)]
    for kept in (120, 90):
        write_records(project.prompts, [*more, *again, *prompts[:kept]])
        write_records(project.answers, [*more_answers, *said, *answers[:kept]])
        curate(project, test=30)
        new = sides(project)
        assert {key: side for key, side in new.items() if old.get(key, side) != side} == {}
        assert {old[p.id] for p in prompts[:kept]} >= {new[p.id] for p in again}
    write_records(project.prompts, prompts)
    write_records(project.answers, answers)
    curate(project, test=30)
    assert sides(project) == old  # those that were away have theirs again


def expand(project: Project, parents: list[Prompt]) -> list[Prompt]:
    """Three prompts that a teacher wrote after each parent, near to it."""
    made = []
    for parent in parents:
        for end in (" please", " thanks", " now"):
            one = child(parent, parent.messages[-1].text + end, f"like {parent.id}")
            made.append(Expanded(prompt=one, parent_id=parent.id, teacher="t", call_id="c"))
    prompts = merge_expanded(list(read_records(project.prompts, Prompt)), made)
    write_records(project.expanded, made)
    write_records(project.prompts, prompts)
    written = [one.prompt for one in made]
    said = [answer(p, f"written {n}") for n, p in enumerate(written)]
    write_records(project.answers, [*read_records(project.answers, Answer), *said])
    return written


def test_written_prompts_are_only_trained_on(tmp_path: Path) -> None:
    prompts, answers = many(0, 60)
    for when in ("first", "later"):
        project = project_with(tmp_path / when, prompts, answers)
        if when == "later":
            curate(project, test=15)
        old = sides(project) if when == "later" else {}
        written = expand(project, prompts[:30])
        curate(project, test=15)
        new = sides(project)
        assert {key: side for key, side in new.items() if old.get(key, side) != side} == {}
        reasons = {v.prompt_id: v.reason for v in read_records(project.dropped, Verdict)}
        for number, one in enumerate(written):
            parent = prompts[number // 3].id
            if new[parent] == "train":
                assert new[one.id] == "train"
            else:
                assert one.id not in new and f"{new[parent]} prompt {parent}" in reasons[one.id]


def test_a_changed_size_draws_again_until_something_is_trained(tmp_path: Path) -> None:
    prompts, answers = many(0, 120)
    project = project_with(tmp_path, prompts, answers)
    curate(project, test=30)
    assert any("test (30 -> 20)" in note for note in curate(project, test=20).warnings)
    old = sides(project)
    assert list(old.values()).count("test") == 20
    project.stage("train", "sft").mkdir(parents=True)
    result = curate(project, test=30)
    assert sides(project) == old
    assert any("test has 20 prompts, not 30" in note and "curate.seed" in note for note in result.warnings)


def test_another_seed_draws_again_and_warns(tmp_path: Path) -> None:
    prompts, answers = many(0, 120)
    project = project_with(tmp_path, prompts, answers)
    curate(project, test=30)
    old = sides(project)
    project.stage("train", "sft").mkdir(parents=True)
    result = curate(project, test=30, seed=1)
    assert sides(project) != old
    assert any("drawn again, with curate.seed 1" in note and "refuses" in note for note in result.warnings)
    assert {side.seed for side in read_records(project.sides, Side)} == {1}


def test_a_project_of_before_keeps_its_split(tmp_path: Path) -> None:
    prompts, answers = many(0, 120)
    project = project_with(tmp_path, prompts, answers)
    curate(project, test=30)
    old = sides(project)
    project.sides.unlink()
    rng = random.Random(0)
    more, said = many(200, 260)
    pairs = [*zip(prompts, answers, strict=True), *zip(more, said, strict=True)]
    rng.shuffle(pairs)
    write_records(project.prompts, [p for p, _ in pairs])
    write_records(project.answers, [a for _, a in pairs])
    curate(project, test=30)
    assert {key: side for key, side in sides(project).items() if key in old} == old
