"""The split leaks nothing, respects the user, and does not depend on the order of the rows."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from distil.curate.split import Assignment, Item, assign
from distil.curate.text import jaccard, shingles, text_key
from tests.curate.material import distinct_text

NEAR = 0.8


@st.composite
def rows(draw: st.DrawFn) -> list[tuple[Item, str]]:
    """Rows with groups, near-duplicates, equal texts and fixed sides."""
    made = []
    for number in range(draw(st.integers(1, 40))):
        base = draw(st.integers(0, 25))
        text = distinct_text(base) + draw(st.sampled_from(["", "", " ", "!", " ok"]))
        group = draw(st.sampled_from([None, None, None, "g1", "g2", "g3"]))
        fixed = draw(st.sampled_from([None, None, None, None, "train", "validation", "test"]))
        made.append((Item(f"prompt_{number:03d}", text_key(text), group, fixed), text))
    return made


def split(made: list[tuple[Item, str]], *, test: int = 5, validation: float = 0.2, seed: int = 0) -> Assignment:
    items = [item for item, _ in made]
    return assign(items, [shingles(t) for _, t in made], near=NEAR, test=test, validation=validation, seed=seed)


def by_key(made: list[tuple[Item, str]], assignment: Assignment) -> dict[str, str | None]:
    return {item.key: side for (item, _), side in zip(made, assignment.sides, strict=True)}


@given(rows())
@settings(max_examples=120, deadline=None)
def test_no_group_text_or_near_duplicate_lies_on_two_sides(made: list[tuple[Item, str]]) -> None:
    sides = split(made).sides
    sets = [shingles(t) for _, t in made]
    kept = [i for i, side in enumerate(sides) if side is not None]
    for a in kept:
        for b in kept:
            if sides[a] == sides[b] or (made[a][0].fixed and made[b][0].fixed):
                continue
            assert made[a][0].same != made[b][0].same
            assert made[a][0].group is None or made[a][0].group != made[b][0].group
            assert jaccard(sets[a], sets[b]) < NEAR


@given(rows())
@settings(max_examples=120, deadline=None)
def test_nothing_in_train_repeats_a_held_out_row_even_when_all_sides_are_fixed(made: list[tuple[Item, str]]) -> None:
    sides = split(made).sides
    train = [i for i, side in enumerate(sides) if side == "train"]
    held_out = [i for i, side in enumerate(sides) if side in ("test", "validation")]
    for a in train:
        for b in held_out:
            assert jaccard(shingles(made[a][1]), shingles(made[b][1])) < NEAR


@given(rows())
@settings(max_examples=80, deadline=None)
def test_every_row_gets_a_side_or_a_reason_and_fixed_test_rows_stay(made: list[tuple[Item, str]]) -> None:
    assignment = split(made)
    reasons = {leak.row: leak.reason for leak in assignment.leaks}
    kept = zip(made, assignment.sides, strict=True)
    has_validation = any(item.fixed == "validation" and side is not None for (item, _), side in kept)
    for index, ((item, _), side) in enumerate(zip(made, assignment.sides, strict=True)):
        assert (side is None) == (index in reasons)
        if item.fixed == "test":
            assert side == "test"
        elif item.fixed == "validation":
            assert side in ("validation", None)
        elif item.fixed == "train":
            assert side in ("train", None) or (side == "validation" and not has_validation)
    if any(item.fixed == "test" for item, _ in made):
        assert all(
            item.fixed == "test" for (item, _), side in zip(made, assignment.sides, strict=True) if side == "test"
        )


@given(rows(), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_the_order_of_the_rows_does_not_matter(made: list[tuple[Item, str]], rng: random.Random) -> None:
    shuffled = list(made)
    rng.shuffle(shuffled)
    assert by_key(made, split(made)) == by_key(shuffled, split(shuffled))


def independent(count: int, offset: int = 0) -> list[tuple[Item, str]]:
    texts = [f"{distinct_text(i)} {i * 31 + 7} {i * i * 13}" for i in range(offset, offset + count)]
    return [(Item(f"prompt_{offset + i:04d}", text_key(t), None, None), t) for i, t in enumerate(texts)]


def exact_only(made: list[tuple[Item, str]], *, test: int, seed: int = 0) -> dict[str, str | None]:
    items = [item for item, _ in made]
    sets = [shingles(t) for _, t in made]
    return by_key(made, assign(items, sets, near=None, test=test, validation=0.2, seed=seed))


def test_sizes_are_as_asked() -> None:
    sides = list(exact_only(independent(1000), test=200).values())
    assert sides.count("test") == 200
    assert 120 <= sides.count("validation") <= 200


def test_a_new_row_moves_no_row_into_test_and_only_the_one_that_test_gives_up() -> None:
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


def test_a_group_larger_than_any_held_out_side_is_flagged_and_stays_in_train() -> None:
    made = [(item._replace(group="all"), text) for item, text in independent(60)] + independent(30, offset=100)
    assignment = split(made, test=10)
    assert assignment.largest == 60 and "60 prompts are linked" in assignment.notes[0]
    assert set(assignment.sides[:60]) == {"train"}


def test_a_small_project_keeps_two_thirds_to_train_on_and_says_so() -> None:
    assignment = split(independent(30), test=200)
    assert assignment.sides.count("test") == 10 and "not 200" in assignment.notes[0]


def test_two_rows_are_enough_for_a_validation_row() -> None:
    assert sorted(map(str, split(independent(2), test=0).sides)) == ["train", "validation"]


def test_fixed_train_rows_are_never_test_and_give_the_validation_rows_where_the_user_fixed_none() -> None:
    made = [(item._replace(fixed="train"), text) for item, text in independent(60)]
    sides = split(made, test=5).sides
    assert set(sides) == {"train", "validation"} and sides.count("validation") < 20
    made[0] = (made[0][0]._replace(fixed="validation"), made[0][1])
    assert split(made, test=5).sides.count("validation") == 1


def test_validation_has_its_share_also_when_the_rows_come_in_groups() -> None:
    made = [(item._replace(group=f"g{i // 5}"), text) for i, (item, text) in enumerate(independent(1000))]
    items = [item for item, _ in made]
    sides = assign(items, [shingles(t) for _, t in made], near=None, test=100, validation=0.2, seed=0).sides
    assert sides.count("test") == 100
    assert 110 <= sides.count("validation") <= 250
    for start in range(0, 1000, 5):
        assert len(set(sides[start : start + 5])) == 1


def test_a_small_or_empty_test_side_is_told_as_it_is() -> None:
    free = [(Item(f"p{n}", str(n), None, None), distinct_text(n)) for n in range(12)]
    assert any("test has 4 of 12 prompts, not 5" in note for note in split(free).notes)
    bound = [(item._replace(fixed="train"), text) for item, text in free]
    notes = split(bound).notes
    assert any("test is empty" in note for note in notes) and not any("test has" in note for note in notes)
    assert not any("test" in note for note in split(free, test=0).notes)
