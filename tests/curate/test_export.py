"""`distil export --data` from a curated project to files: what is in them, what is left out, what is refused."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from distil.curate import export
from distil.curate.config import CurateConfig
from distil.curate.destination import MARKER
from distil.curate.preferences import Known
from distil.curate.stage import run
from distil.errors import UserError
from distil.formats import FORMATS, find_format
from distil.formats.check import check_file
from distil.records import Answer, Message, Prompt, Verdict
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_examples, read_records, write_records
from distil.runs.marks import add_mark
from distil.runs.schemas.evidence import Evidence, Signal
from distil.runs.schemas.marks import Mark
from tests.curate.material import answer, distinct_text, project_with, prompt

ALL_TRAIN = CurateConfig(test=0, validation=0)


def curated(
    folder: Path, prompts: Sequence[Prompt], answers: Sequence[Answer], section: CurateConfig = ALL_TRAIN
) -> Project:
    project = project_with(folder, prompts, answers)
    run(project, section)
    return project


def plain(folder: Path, count: int = 30, section: CurateConfig = ALL_TRAIN) -> Project:
    """A project with that many different questions and answers."""
    prompts = [prompt(distinct_text(n), system="Be brief.") for n in range(count)]
    return curated(folder, prompts, [answer(p, f"It is number {n}.") for n, p in enumerate(prompts)], section)


def lines(project: Project, result: export.ExportResult, side: str = "train") -> list[dict[str, Any]]:
    path = next(p for p in result.files if Path(p).stem == side)
    return [json.loads(line) for line in (project.root / path).read_text(encoding="utf-8-sig").splitlines()]


def test_exports_read_like_their_formats(tmp_path: Path) -> None:
    project = plain(tmp_path, 10)
    first = min(lines(project, export.run(project, "openai")), key=str)
    asked, said = first["messages"][1]["content"], first["messages"][2]["content"]
    assert first["messages"][0] == {"role": "system", "content": "Be brief."}
    assert {"instruction": asked, "input": "", "output": said, "system": "Be brief."} in lines(
        project, export.run(project, "alpaca")
    )
    assert {
        "conversations": [{"from": "human", "value": asked}, {"from": "gpt", "value": said}],
        "system": "Be brief.",
    } in lines(project, export.run(project, "sharegpt"))
    with pytest.raises(UserError, match=r"it has no rows\. Left out before that: a system turn \(10\)"):
        export.run(project, "prompt_completion")


@pytest.mark.parametrize("name", [n for n in FORMATS if n not in ("dpo", "trl_preference", "prompt_completion")])
def test_every_export_passes_the_check_of_its_format(name: str, tmp_path: Path) -> None:
    project = plain(tmp_path, 40, CurateConfig(test=5, validation=0.2))
    result = export.run(project, name)
    form = find_format(name)
    assert result.left_out == 0 and sum(result.files.values()) == 35 and len(result.files) == 2
    for path, count in result.files.items():
        side = "train" if "train" in path else "validation"
        report = check_file(form, project.root / path, side)  # type: ignore[arg-type]
        assert report.errors == [] and report.rows == count
    assert result.tokens > 35 and result.counted == "estimated"


def test_what_a_format_cannot_hold_is_counted_and_named(tmp_path: Path) -> None:
    turns = [
        Message(role="user", content="a"),
        Message(role="assistant", content="b"),
        Message(role="user", content="c"),
    ]
    chat = Prompt.make(turns)
    questions = [prompt(distinct_text(n)) for n in range(12)]
    wanted = prompt("As JSON, please", response_format={"type": "json_object"})
    answers = [answer(q, f"It is {n}.") for n, q in enumerate([*questions, chat])] + [answer(wanted, '{"a": 1}')]
    project = curated(tmp_path, [*questions, chat, wanted], answers)
    result = export.run(project, "prompt_completion")
    assert (result.left_out, result.reasons) == (1, {"several turns": 1})
    assert "alpaca" in result.held_by["several turns"] and "openai" in result.held_by["several turns"]
    assert result.not_said == {"response_format": 1}
    shown = dict(result.rows())
    assert shown["left out: several turns"].startswith("1 (held by openai, azure")
    marker = json.loads((project.root / result.folder / MARKER).read_text())
    assert marker["left_out"] == {"several turns": [chat.id]}
    assert export.run(project, "alpaca").left_out == 0


def test_too_few_examples_write_nothing(tmp_path: Path) -> None:
    project = plain(tmp_path, 4)
    with pytest.raises(UserError, match=r"openai would refuse this data\. train: 4 examples, at least 10 are needed"):
        export.run(project, "openai")
    assert not (project.stage("curate") / "export").exists()
    assert export.run(project, "fireworks").files == {"work/curate/export/fireworks/train.jsonl": 4}


def test_an_empty_validation_is_not_written_and_an_old_one_goes(tmp_path: Path) -> None:
    project = plain(tmp_path, 40, CurateConfig(test=0, validation=0.2))
    first = export.run(project, "openai")
    assert len(first.files) == 2
    for path in project.stage("curate").glob("*.jsonl"):  # else every prompt keeps its side
        path.unlink()
    run(project, ALL_TRAIN)
    second = export.run(project, "openai")
    assert list(second.files.values()) == [40]
    assert sorted(p.name for p in (project.root / second.folder).iterdir()) == [MARKER, "train.jsonl"]


def test_a_stale_set_is_refused(tmp_path: Path) -> None:
    project = plain(tmp_path, 12)
    assert export.run(project, "openai", settings=ALL_TRAIN.model_dump(mode="json")).files
    with pytest.raises(UserError, match=r"stale: settings have changed: test\..*Run `distil curate`"):
        export.run(project, "openai", settings=CurateConfig(test=3, validation=0).model_dump(mode="json"))
    kept = next(read_records(project.answers, Answer))
    write_records(
        project.marks,
        [Verdict(answer_id=kept.id, prompt_id=kept.prompt_id, filter="mark", keep=False, reason="a person")],
    )
    with pytest.raises(UserError, match=r"stale: input work/curate/marks\.jsonl has changed"):
        export.run(project, "openai")
    with pytest.raises(UserError, match="Run `distil curate` first"):
        export.run(Project(tmp_path / "new"), "openai")


def test_files_of_others_are_never_overwritten(tmp_path: Path) -> None:
    project = plain(tmp_path / "project", 12)
    before = project.split("train").read_bytes()
    with pytest.raises(UserError, match="where Distil keeps its own files"):
        export.run(project, "openai", project.stage("curate"))
    assert project.split("train").read_bytes() == before
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "train.jsonl").write_text("mine\n")
    with pytest.raises(UserError, match="no export of Distil wrote it"):
        export.run(project, "openai", folder)
    assert [p.name for p in folder.iterdir()] == ["train.jsonl"]
    assert (folder / "train.jsonl").read_text() == "mine\n"
    with pytest.raises(UserError, match="found a file, expected a folder"):
        export.run(project, "openai", folder / "train.jsonl")


def test_an_earlier_export_is_replaced_unless_it_was_edited(tmp_path: Path) -> None:
    project = plain(tmp_path / "project", 12)
    folder = tmp_path / "out"
    (tmp_path / "out").mkdir()
    (folder / "notes.txt").write_text("mine\n")
    export.run(project, "openai", folder)
    export.run(project, "azure", folder)
    assert (folder / "train.jsonl").read_bytes().startswith(b"\xef\xbb\xbf")
    assert sorted(p.name for p in folder.iterdir()) == [MARKER, "notes.txt", "train.jsonl"]
    with (folder / "train.jsonl").open("a") as file:
        file.write("\n")
    with pytest.raises(UserError, match="was changed after it was exported"):
        export.run(project, "azure", folder)


def test_a_crash_in_the_middle_can_be_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = plain(tmp_path / "project", 40, CurateConfig(test=0, validation=0.2))
    folder = tmp_path / "out"
    export.run(project, "openai", folder)
    run(project, CurateConfig(test=0, validation=0.3))
    from distil.curate import destination

    real, calls = destination.os.replace, []

    def crash(source: Path, target: Path) -> None:
        calls.append(target)
        if len(calls) == 3:  # marker, train; not validation
            raise KeyboardInterrupt
        real(source, target)

    monkeypatch.setattr(destination.os, "replace", crash)
    with pytest.raises(KeyboardInterrupt):
        export.run(project, "openai", folder)
    monkeypatch.undo()
    assert sum(export.run(project, "openai", folder).files.values()) == 40
    assert sorted(p.name for p in folder.iterdir()) == [MARKER, "train.jsonl", "validation.jsonl"]


def test_the_order_of_teachers_is_no_preference(tmp_path: Path) -> None:
    prompts = [prompt(distinct_text(n)) for n in range(12)]
    answers = [
        answer(p, f"{word} {n}", teacher=f"recorded/{word}") for n, p in enumerate(prompts) for word in ("yes", "no")
    ]
    project = curated(tmp_path, prompts, answers)
    with pytest.raises(UserError, match=r"two answers of which one is known to be better.*Set collect\.samples to 3"):
        export.run(project, "trl_preference")


def test_pairs_follow_what_is_known_of_the_answers(tmp_path: Path) -> None:
    asked = prompt("Which color?", reference="red")
    said = [answer(asked, text, sample=k) for k, text in enumerate(("red", "blue", "Blue.", "green", "cut o"))]
    project = curated(tmp_path, [asked], said)

    def know(**signals: Sequence[float | None]) -> list[tuple[str, str]]:
        rows = []
        for k, found in enumerate(said):
            values = {name: Signal(value=v) for name, series in signals.items() if (v := series[k]) is not None}
            dropped = None if k == 0 else "truncated" if k == 4 else "choose"
            rows.append(Evidence(answer_id=found.id, prompt_id=asked.id, dropped=dropped, **values))  # type: ignore[arg-type]
        write_records(project.evidence, rows)
        found_pairs = Known(project).pairs(read_examples(project.split("train")))
        return [(row.rejected.text, why) for row, why in found_pairs if row.rejected]

    assert know() == []
    assert know(reference=(1, 0, 0, 1, 0)) == [("blue", "reference")]
    assert know(reference=(0, 0, 0, 0, 0), judge=(1, 0, 0, 0, 0)) == []
    assert know(judge=(0.9, 0.5, 0.5, 0.95, 0)) == [("blue", "judge")]
    assert know(agreement=(0.6, 0.2, 0.2, 0.2, 0.2)) == [("blue", "majority"), ("green", "majority")]
    assert know(agreement=(0.4, 0.2, 0.2, 0.2, 0.2)) == []
    assert know(agreement=(0.6, 0.2, 0.2, 0.2, 0.2), secrets=(0, 1, 1, 0, 0)) == [("green", "majority")]


def test_pairs_of_a_curated_project_rest_on_what_it_knows(tmp_path: Path) -> None:
    right = [prompt(f"{distinct_text(n)} What is the sum?", reference="42") for n in range(10)]
    voted = [prompt(f"{distinct_text(n)} Which color?") for n in range(20, 30)]
    answers = [answer(p, text, teacher=f"recorded/{k}") for p in right for k, text in enumerate(("42", "41"))]
    answers += [answer(p, text, sample=k) for p in voted for k, text in enumerate(("red", "red", "blue"))]
    project = curated(tmp_path, [*right, *voted], answers, ALL_TRAIN.model_copy(update={"choose": "best"}))
    result = export.run(project, "dpo")
    assert result.preferred_by == {"reference": 10, "majority": 10}
    for pair in lines(project, result):
        better, worse = pair["preferred_output"][0]["content"], pair["non_preferred_output"][0]["content"]
        assert (better, worse) in {("42", "41"), ("red", "blue")}
    (first, *_) = lines(project, export.run(project, "trl_preference"))
    assert set(first) == {"prompt", "chosen", "rejected"} and first["chosen"][0]["role"] == "assistant"


def test_a_persons_marks_make_pairs_and_masks_hold_for_losers(tmp_path: Path) -> None:
    asked = [prompt(distinct_text(n)) for n in range(3)]
    answers = [
        answer(p, f"Write to {who}@example.org.", sample=k) for p in asked for k, who in enumerate(("ann", "bob"))
    ]
    project = project_with(tmp_path, asked, answers)
    for place, (kind, text) in enumerate([("bad", None), ("good", None), ("edited", "Write to us.")]):
        first = answers[2 * place]
        mark = Mark(answer_id=first.id, prompt_id=first.prompt_id, mark=kind, text=text, created="2026-01-01")  # type: ignore[arg-type]
        add_mark(project.marks, mark)
    run(project, ALL_TRAIN.model_copy(update={"mask": ["personal_data"]}))
    found = [
        (row.answer.text, row.rejected.text, why)
        for row, why in Known(project).pairs(read_examples(project.split("train")))
        if row.rejected
    ]
    masked = "Write to <EMAIL_1>."
    assert ("Write to us.", masked, "a person") in found and "@" not in str(found)
    assert {why for _, _, why in found} == {"a person"}


def test_the_card_tells_lineage_filters_and_terms(tmp_path: Path) -> None:
    prompts = [prompt(distinct_text(n)) for n in range(12)]
    answers = [answer(p, "" if n < 2 else f"It is {n}.", teacher="recorded/a|b") for n, p in enumerate(prompts)]
    project = curated(tmp_path, prompts, answers)
    result = export.run(project, "datasets")
    card = (project.root / result.folder / "README.md").read_text()
    assert "path: train.parquet" in card and "validation" not in card.split("---")[1]
    assert "| recorded/a\\|b | 10 |" in card
    assert "| empty | 2 |" in card and "Of 12 answers" in card
    assert "`work/curate/train.jsonl`" in card and "## Terms" in card
