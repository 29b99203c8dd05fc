"""The split leaks nothing, respects the user, and does not depend on the order of the rows."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distil.curate.shingles import jaccard, shingles, text_key
from distil.curate.split.assign import Assignment, assign
from distil.curate.split.components import Item
from distil.curate.split.fill import Sizes
from distil.records import Split
from tests.curate.material import distinct_text

NEAR = 0.8


def row(key: str, text: str, group: str | None = None, fixed: Split | None = None) -> Item:
    links = [("text", text_key(text))] + ([("group", group)] if group else [])
    return Item(key, tuple(links), fixed)


@st.composite
def rows(draw: st.DrawFn) -> list[tuple[Item, str]]:
    """Rows with groups, near-duplicates, equal texts and fixed splits."""
    made = []
    for number in range(draw(st.integers(1, 40))):
        base = draw(st.integers(0, 25))
        text = distinct_text(base) + draw(st.sampled_from(["", "", " ", "!", " ok"]))
        group = draw(st.sampled_from([None, None, None, "g1", "g2", "g3"]))
        fixed = draw(st.sampled_from([None, None, None, None, "train", "validation", "test"]))
        made.append((row(f"prompt_{number:03d}", text, group, fixed), text))
    return made


def split(made: list[tuple[Item, str]], *, test: int = 5, validation: float = 0.2, seed: int = 0) -> Assignment:
    items = [item for item, _ in made]
    return assign(items, [shingles(t) for _, t in made], near=NEAR, sizes=Sizes(test, validation, seed))


def by_key(made: list[tuple[Item, str]], assignment: Assignment) -> dict[str, str | None]:
    return {item.key: side for (item, _), side in zip(made, assignment.splits, strict=True)}


@given(rows())
@settings(max_examples=120, deadline=None)
def test_no_group_text_or_near_duplicate_is_in_two_splits(made: list[tuple[Item, str]]) -> None:
    splits = split(made).splits
    sets = [shingles(t) for _, t in made]
    kept = [i for i, side in enumerate(splits) if side is not None]
    for a in kept:
        for b in kept:
            if splits[a] == splits[b] or (made[a][0].fixed and made[b][0].fixed):
                continue
            assert not set(made[a][0].links) & set(made[b][0].links)
            assert jaccard(sets[a], sets[b]) < NEAR


@given(rows())
@settings(max_examples=120, deadline=None)
def test_train_never_repeats_a_held_out_row(made: list[tuple[Item, str]]) -> None:
    """Also when all splits are fixed."""
    splits = split(made).splits
    train = [i for i, side in enumerate(splits) if side == "train"]
    held_out = [i for i, side in enumerate(splits) if side in ("test", "validation")]
    for a in train:
        for b in held_out:
            assert jaccard(shingles(made[a][1]), shingles(made[b][1])) < NEAR


@given(rows())
@settings(max_examples=80, deadline=None)
def test_every_row_gets_a_split_or_a_reason(made: list[tuple[Item, str]]) -> None:
    """Rows that the user fixed as test stay in test."""
    assignment = split(made)
    reasons = {leak.row: leak.reason for leak in assignment.leaks}
    kept = zip(made, assignment.splits, strict=True)
    has_validation = any(item.fixed == "validation" and side is not None for (item, _), side in kept)
    for index, ((item, _), side) in enumerate(zip(made, assignment.splits, strict=True)):
        assert (side is None) == (index in reasons)
        if item.fixed == "test":
            assert side == "test"
        elif item.fixed == "validation":
            assert side in ("validation", None)
        elif item.fixed == "train":
            assert side in ("train", None) or (side == "validation" and not has_validation)
    if any(item.fixed == "test" for item, _ in made):
        assert all(
            item.fixed == "test" for (item, _), side in zip(made, assignment.splits, strict=True) if side == "test"
        )


@given(rows(), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_the_order_of_the_rows_does_not_matter(made: list[tuple[Item, str]], rng: random.Random) -> None:
    shuffled = list(made)
    rng.shuffle(shuffled)
    assert by_key(made, split(made)) == by_key(shuffled, split(shuffled))


ROW = tuple[int, str, str | None, Split | None]
"""Which text, what follows it, its group, its fixed side."""


@pytest.mark.parametrize("made", [
    [(1, "", None, None), (1, "!", "g", None), (1, "", None, "validation"), *[(2, "", None, None)] * 30, (2, "", "g", None)],
    [(1, "", None, "test"), (1, "", None, None), (1, "!", "g", "validation"), (3, "", "g", None)],
])  # fmt: skip
def test_no_order_of_similar_and_fixed_rows_matters(made: list[ROW]) -> None:
    """What belongs together may not depend on which of several similar rows comes first."""
    texts = [distinct_text(base) + end for base, end, _, _ in made]
    rows = [(row(f"p{i:02}", t, m[2], m[3]), t) for i, (t, m) in enumerate(zip(texts, made, strict=True))]
    sides = set()
    for seed in range(12):
        shuffled = random.Random(seed).sample(rows, len(rows))
        sides.add(tuple(sorted(by_key(shuffled, split(shuffled)).items())))
    assert len(sides) == 1


def test_no_order_of_rows_written_after_a_prompt_matters() -> None:
    """Two rows that a teacher wrote, one of them trained on before, and a new prompt that is similar to both."""
    texts = [distinct_text(1) + end for end in (" no", " ok", " so")] + [distinct_text(n) for n in range(2, 12)]
    rows = [(row(f"p{n:02}", t, None, None), t) for n, t in enumerate(texts)]
    for n in (0, 1):
        rows[n] = (rows[n][0]._replace(train_only="written by a teacher"), rows[n][1])
    for seed in range(4):
        sides = set()
        for order in itertools.permutations(rows[:3]):
            made = [*order, *rows[3:]]
            sets = [shingles(text) for _, text in made]
            sizes, remembered = Sizes(6, 0.2, seed), {rows[0][0].key: "train"}
            found = assign([item for item, _ in made], sets, near=NEAR, sizes=sizes, remembered=remembered)  # type: ignore[arg-type]
            sides.add(tuple(sorted(by_key(made, found).items())))
        assert len(sides) == 1
        assert dict(sides.pop())["p02"] == "train"


def independent(count: int, offset: int = 0) -> list[tuple[Item, str]]:
    texts = [f"{distinct_text(i)} {i * 31 + 7} {i * i * 13}" for i in range(offset, offset + count)]
    return [(row(f"prompt_{offset + i:04d}", t), t) for i, t in enumerate(texts)]


def grouped(made: list[tuple[Item, str]], group: str) -> list[tuple[Item, str]]:
    return [(item._replace(links=(*item.links, ("group", group))), text) for item, text in made]


def exact_only(made: list[tuple[Item, str]], *, test: int, seed: int = 0) -> dict[str, str | None]:
    items = [item for item, _ in made]
    sets = [shingles(t) for _, t in made]
    return by_key(made, assign(items, sets, near=None, sizes=Sizes(test, 0.2, seed)))


def test_splits_have_the_configured_sizes() -> None:
    splits = list(exact_only(independent(1000), test=200).values())
    assert splits.count("test") == 200
    assert 120 <= splits.count("validation") <= 200


def test_a_new_row_moves_at_most_one_row_out_of_test() -> None:
    made = independent(301)
    before = exact_only(made[:300], test=40)
    for extra in range(20):
        grown = [*made[:300], *independent(1, offset=400 + extra)]
        after = exact_only(grown, test=40)
        moved = {key for key, side in before.items() if after[key] != side}
        assert len(moved) <= 1
        assert all(before[key] == "test" for key in moved)


def test_another_seed_gives_another_split() -> None:
    made = independent(100)
    assert exact_only(made, test=20) != exact_only(made, test=20, seed=1)


def test_a_huge_group_is_flagged_and_stays_in_train() -> None:
    made = [
        (item._replace(links=(*item.links, ("group", "all"))), text) for item, text in independent(60)
    ] + independent(30, offset=100)
    assignment = split(made, test=10)
    assert assignment.largest == 60 and "60 prompts are linked" in assignment.notes[0]
    assert set(assignment.splits[:60]) == {"train"}


def test_a_small_project_keeps_two_thirds_for_training() -> None:
    assignment = split(independent(30), test=200)
    assert assignment.splits.count("test") == 10 and "not 200" in assignment.notes[0]


def test_two_rows_are_enough_for_a_validation_row() -> None:
    assert sorted(map(str, split(independent(2), test=0).splits)) == ["train", "validation"]


def test_fixed_train_rows_are_never_test() -> None:
    """They give validation rows where the user fixed none."""
    made = [(item._replace(fixed="train"), text) for item, text in independent(60)]
    splits = split(made, test=5).splits
    assert set(splits) == {"train", "validation"} and splits.count("validation") < 20
    made[0] = (made[0][0]._replace(fixed="validation"), made[0][1])
    assert split(made, test=5).splits.count("validation") == 1


def test_validation_gets_its_share_also_with_groups() -> None:
    made = [
        (item._replace(links=(*item.links, ("group", f"g{i // 5}"))), text)
        for i, (item, text) in enumerate(independent(1000))
    ]
    items = [item for item, _ in made]
    splits = assign(items, [shingles(t) for _, t in made], near=None, sizes=Sizes(100, 0.2, 0)).splits
    assert splits.count("test") == 100
    assert 110 <= splits.count("validation") <= 250
    for start in range(0, 1000, 5):
        assert len(set(splits[start : start + 5])) == 1


def test_a_small_or_empty_test_split_is_noted() -> None:
    free = [(Item(f"p{n}"), distinct_text(n)) for n in range(12)]
    assert any("test has 4 of 12 prompts, not 5" in note for note in split(free).notes)
    bound = [(item._replace(fixed="train"), text) for item, text in free]
    notes = split(bound).notes
    assert any("test is empty" in note for note in notes) and not any("test has" in note for note in notes)
    assert not any("test" in note for note in split(free, test=0).notes)
