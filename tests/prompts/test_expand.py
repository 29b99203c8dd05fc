"""More prompts like the given ones: new, spread over the kinds, in their parent's group, and never paid for twice."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distil.calls.config import Price, TeacherConfig
from distil.errors import BudgetReached, UserError, WorkFailed
from distil.prompts import expand, self_instruct, stage
from distil.prompts.config import PromptsConfig
from distil.prompts.coverage import Clustering, cluster_count, describe_clusters
from distil.prompts.novelty import NoveltyFilter, bands, features
from distil.records import Message, Prompt
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_records
from distil.runs.manifest import read_manifest, stage_state
from distil.runs.schemas.expanded import read_expanded
from tests.wire.openai import OpenAIServer, last_words

SECTION = PromptsConfig(path="prompts.jsonl", system="Answer politely.")
NUMBERS = itertools.count()
TOPICS = {"kettle": 12, "invoice": 12, "parcel": 4}
WORDS = {
    "kettle": ["leaks water", "boils slowly", "lid is broken", "switch is hot", "smells of plastic"],
    "invoice": ["shows a wrong amount", "lacks the tax number", "has an old address", "came twice", "is overdue"],
    "parcel": ["never arrived", "went to a neighbor", "is damaged", "was opened", "is late"],
}


def rows() -> list[dict[str, Any]]:
    made = []
    for topic, count in TOPICS.items():
        pairs = list(itertools.permutations(WORDS[topic], 2))[:count]
        made += [{"prompt": f"My {topic} {first} and the {topic} {second}"} for first, second in pairs]
    return made


def write_new(body: dict[str, Any]) -> str:
    """Eight messages on the topic of the one that is shown, all different."""
    shown = last_words(body).partition("The message:\n")[2]
    topic = next(topic for topic in TOPICS if topic in shown)
    numbers = [next(NUMBERS) for _ in range(8)]
    return json.dumps([f"Hello, {topic} word{n} other{n} thing{n} again{n} more{n}" for n in numbers])


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path)
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows()))
    stage.run(made, SECTION)
    return made


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer(models=("writer",), key=None, answer=write_new) as running:
        yield running


@pytest.fixture
def teacher(server: OpenAIServer) -> TeacherConfig:
    return TeacherConfig(model=f"{server.url}#writer", price=Price(input=1, output=2))


def prompts(project: Project) -> list[Prompt]:
    return list(read_records(project.prompts, Prompt))


def go(project: Project, teacher: TeacherConfig, count: int, **options: Any) -> expand.ExpandResult:
    return expand.run(project, teachers=[teacher], count=count, budget_usd=options.pop("budget_usd", None), **options)


def test_new_prompts_are_in_their_parents_group(project: Project, teacher: TeacherConfig) -> None:
    result = go(project, teacher, 20)
    assert (result.added, result.prompts) == (20, 48) and result.usd > 0
    by_id = {prompt.id: prompt for prompt in prompts(project)}
    for one in read_expanded(project.expanded):
        parent, child = by_id[one.parent_id], by_id[one.prompt.id]
        assert child.group is not None and child.group == parent.group
        assert child.messages[0] == parent.messages[0] and child.messages[0].role == "system"
        assert one.teacher == teacher.model and one.call_id.startswith("call_")
    assert sum(prompt.group is None for prompt in by_id.values()) > 0  # prompts without children keep to themselves


def test_the_rarest_kind_gets_the_most(project: Project, teacher: TeacherConfig) -> None:
    go(project, teacher, 24)
    written = [one.prompt.messages[-1].text for one in read_expanded(project.expanded)]
    counts = {topic: sum(topic in text for text in written) for topic in TOPICS}
    assert counts["parcel"] >= 8, counts


def test_the_stage_stays_done_and_reloading_keeps_new_prompts(project: Project, teacher: TeacherConfig) -> None:
    go(project, teacher, 10)
    assert stage_state(project, "prompts", config=SECTION.model_dump(mode="json"))[0] == "done"
    manifest = read_manifest(project, "prompts")
    assert manifest is not None and manifest.notes["expanded"]["added"] == 10 and manifest.usd > 0
    before = prompts(project)
    result = stage.run(project, SECTION)
    assert (result.prompts, result.expanded, result.duplicates) == (38, 10, 0)
    assert sorted(prompt.id for prompt in prompts(project)) == sorted(prompt.id for prompt in before)
    assert {p.id: p.group for p in prompts(project)} == {p.id: p.group for p in before}


def test_near_duplicates_are_dropped_and_end_the_run(
    project: Project, server: OpenAIServer, teacher: TeacherConfig
) -> None:
    server.answer = lambda body: json.dumps(
        ["A new kettle question, please help", "a NEW kettle question; please help!"]
    )
    result = go(project, teacher, 40)
    assert result.added == 1 and result.duplicates >= 3 and result.dry
    assert "hardly anything new" in str(result.rows()[0])


def test_replies_are_paid_for_once(project: Project, server: OpenAIServer, teacher: TeacherConfig) -> None:
    server.answer = lambda body: json.dumps([f"{last_words(body)[-30:]} x{n} y{n} z{n} q{n}" for n in range(8)])
    before = project.prompts.read_bytes()
    first = go(project, teacher, 12)
    paid, texts = len(server.answered), [one.prompt.id for one in read_expanded(project.expanded)]
    (project.stage("prompts") / "expanded.jsonl").unlink()  # as if the process had died before it wrote
    project.prompts.write_bytes(before)
    again = go(project, teacher, 12)
    assert len(server.answered) == paid and again.usd == 0 and first.usd > 0
    assert [one.prompt.id for one in read_expanded(project.expanded)] == texts


def test_test_prompts_are_never_parents_and_splits_inherit(
    tmp_path: Path, server: OpenAIServer, teacher: TeacherConfig
) -> None:
    sides = {"kettle": "test", "invoice": "train", "parcel": "validation"}
    lines = [{**row, "split": next(side for topic, side in sides.items() if topic in row["prompt"])} for row in rows()]
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    project = Project(tmp_path)
    stage.run(project, SECTION)
    go(project, teacher, 30)
    assert {one.prompt.split for one in read_expanded(project.expanded)} == {"train"}
    assert not any("kettle" in last_words(body) for body in server.answered)


def test_the_budget_stops_it_and_keeps_new_prompts(project: Project, teacher: TeacherConfig) -> None:
    with pytest.raises(BudgetReached, match=r"continue with `--budget \d.* were written and added"):
        go(project, teacher, 200, budget_usd=0.012)
    assert 0 < len(read_expanded(project.expanded)) < 200
    assert len(prompts(project)) == 28 + len(read_expanded(project.expanded))


def test_a_teacher_that_writes_no_prompts_is_an_error(
    project: Project, server: OpenAIServer, teacher: TeacherConfig
) -> None:
    server.answer = lambda body: "I would rather answer questions."
    with pytest.raises(WorkFailed, match="contain no JSON array of strings"):
        go(project, teacher, 8)
    assert len(prompts(project)) == 28 and read_expanded(project.expanded) == []


def test_bad_input_is_one_paragraph(project: Project, teacher: TeacherConfig, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="expected a count of at least 1"):
        go(project, teacher, 0)
    with pytest.raises(UserError, match="No teacher is configured"):
        expand.run(project, teachers=[], count=5, budget_usd=None)
    with pytest.raises(UserError, match="distil prompts load"):
        go(Project(tmp_path / "empty"), teacher, 5)


@pytest.mark.parametrize(
    ("reply", "texts"),
    [
        ('["a b", "c d"]', ["a b", "c d"]),
        ('```json\n["a b", "c d"]\n```', ["a b", "c d"]),
        ('Here they are:\n[{"message": "a b"}, {"message": "c d"}]', ["a b", "c d"]),
        ('1. a b\n2) "c d"\n', ["a b", "c d"]),
        ('["a b", 7, null, "", {"x": "c", "y": "d"}]', ["a b"]),
        ("no idea", []),
        ("", []),
        ('["cut off', []),
    ],
)
def test_replies_of_every_shape_are_read(reply: str, texts: list[str]) -> None:
    assert self_instruct.read_reply(reply) == texts


@given(st.text(max_size=300))
def test_no_reply_breaks_the_reader(reply: str) -> None:
    assert all(isinstance(text, str) and text for text in self_instruct.read_reply(reply))


def test_the_request_shows_the_instructions_and_the_conversation() -> None:
    turns = [
        Message(role="system", content="Be brief."),
        Message(role="user", content="Hi"),
        Message(role="assistant", content="Hello."),
        Message(role="user", content="Where is it?"),
    ]
    parent = Prompt.make(turns)
    asked = self_instruct.request_for(TeacherConfig(model="bundled/teacher"), parent, 3, ["kettle, leak"])
    words = asked.messages[-1].text
    assert all(part in words for part in ("Be brief.", "assistant: Hello.", "Where is it?", "kettle, leak"))
    assert asked.sample == 3 and asked.purpose == "expand" and asked.sampling.temperature == 1.0
    child = self_instruct.child(parent, "When is it?", "g")
    assert [turn.text for turn in child.messages] == ["Be brief.", "Hi", "Hello.", "When is it?"]


@pytest.mark.parametrize("similarity", [0.3, 0.5, 0.7, 0.85, 1.0])
def test_pairs_at_the_threshold_are_found(similarity: float) -> None:
    count = bands(similarity)
    assert 128 % count == 0 and 1 - (1 - similarity ** (128 // count)) ** count >= 0.99


def test_near_duplicates_are_compared_by_words() -> None:
    known = NoveltyFilter(0.7)
    known.seed("The blue kettle leaks water after two days")
    assert not known.add("the BLUE kettle leaks water, after two days!!!")
    assert known.add("The blue kettle leaks water after three days of use") is not known.add("!!!")
    assert known.add("Where is my parcel from last Monday?")
    assert not known.add("Where is my parcel from last Monday")
    assert features("") == frozenset()


def test_clusters_tell_topics_apart_and_name_the_rare_one() -> None:
    texts = [row["prompt"] for row in rows()]
    clustering = Clustering(texts, seed=1, clusters=3)
    labels = np.array([next(i for i, topic in enumerate(TOPICS) if topic in text) for text in texts])
    assert len({(int(a), int(b)) for a, b in zip(clustering.labels, labels, strict=True)}) == 3  # one to one
    clusters = describe_clusters(clustering, texts, [])
    assert clusters[0].before == 4 and clusters[0].gap and "parcel" in clusters[0].words
    assert clustering.assign(["another parcel question about the parcel"])[0] == int(clustering.labels[-1])
    assert describe_clusters(clustering, texts, clustering.assign(["a parcel parcel is lost"] * 20))[0].gap is False


@pytest.mark.parametrize(("texts", "count"), [(1, 1), (2, 1), (50, 5), (10_000, 50)])
def test_the_number_of_clusters_grows_slowly(texts: int, count: int) -> None:
    assert cluster_count(texts) == count


def test_equal_texts_make_one_cluster_and_no_crash() -> None:
    clustering = Clustering(["the same"] * 30)
    assert set(clustering.labels.tolist()) == {0}
    assert Clustering(["", "!!!"]).assign(["anything"]) == [0]
