"""The written files are loaded by those who read them: datasets, TRL, Together's checker, Google's types."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from distil.formats import FORMATS, find_format
from distil.formats.convert import convert_rows
from distil.formats.rows import Line
from distil.formats.write import write_file
from distil.records import Example
from distil.runs.jsonl import write_records
from tests.formats.material import GALLERY, PLAIN, turn
from tests.tiny import CHATML, tiny_model, tiny_tokenizer

TOOLS_TEMPLATE = CHATML.replace(
    "(message['content'] or '')", "(message['content'] or message['tool_calls'] | tojson)", 1
)


def lines_of(name: str) -> list[Line]:
    """All rows of the gallery that the format holds."""
    form = find_format(name)
    rows = [*GALLERY, PLAIN._replace(messages=PLAIN.messages[1:])] if name == "prompt_completion" else list(GALLERY)
    if form.pairs:
        rows = [row._replace(rejected=turn("assistant", "something else")) for row in rows]
    return convert_rows(form, rows).lines


def written(folder: Path, name: str) -> Path:
    """A file with them."""
    form = find_format(name)
    path = folder / name / f"train{form.suffix}"
    write_file(form, path, lines_of(name))
    return path


def filled(value: object) -> object:
    """Without the fields that a table adds: None in a record."""
    if isinstance(value, dict):
        return {name: filled(inner) for name, inner in value.items() if inner is not None}
    return [filled(inner) for inner in value] if isinstance(value, list) else value


@pytest.fixture
def quiet_datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """`datasets` with its cache in the test's folder, without bars."""
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    datasets.disable_progress_bars()
    yield datasets


@pytest.mark.parametrize("name", FORMATS)
def test_datasets_loads_every_format_unchanged(name: str, tmp_path: Path, quiet_datasets: Any) -> None:
    path = written(tmp_path, name)
    kind = "parquet" if path.suffix == ".parquet" else "json"
    loaded = quiet_datasets.load_dataset(kind, data_files=str(path), split="train", cache_dir=str(tmp_path / "cache"))
    assert [filled(row) for row in loaded] == [filled(json.loads(json.dumps(line))) for line in lines_of(name)]


def test_datasets_loads_a_folder_with_one_or_two_sides(tmp_path: Path, quiet_datasets: Any) -> None:
    path = written(tmp_path, "openai")
    cache = str(tmp_path / "cache")
    (path.parent / ".distil-export.json").write_text("{}")
    assert list(quiet_datasets.load_dataset(str(path.parent), cache_dir=cache)) == ["train"]
    write_file(find_format("openai"), path.with_name("validation.jsonl"), lines_of("openai")[:1])
    sides = quiet_datasets.load_dataset(str(path.parent), cache_dir=cache)
    assert sides["validation"].num_rows == 1 and sides["train"].num_rows == len(lines_of("openai"))


def own_file(folder: Path) -> Path:
    """work/curate/train.jsonl as `distil curate` writes it, with different metadata in its rows."""
    rows = [row for row in GALLERY if row.key in ("plain", "many", "twice")]
    examples = [
        Example(
            id=row.key,
            prompt_id=row.key,
            answer_id=None,
            messages=list(row.messages),
            split="train",
            reference="4" if row.key == "plain" else None,
            fields={row.key: "x"},
        )
        for row in rows
    ]
    write_records(folder / "train.jsonl", examples)
    return folder / "train.jsonl"


def trainer_of(name: str, data: Any, folder: Path) -> Any:
    """TRL's trainer for a format, with its data prepared."""
    trl = pytest.importorskip("trl")
    model, tokenizer = tiny_model(), tiny_tokenizer(template=TOOLS_TEMPLATE)
    kind = "DPO" if name == "trl_preference" else "SFT"
    settings = getattr(trl, f"{kind}Config")(
        output_dir=str(folder / "out"),
        report_to=[],
        use_cpu=True,
        max_length=512,
        bf16=False,
        per_device_train_batch_size=2,
    )
    more = {"ref_model": tiny_model()} if kind == "DPO" else {}
    return getattr(trl, f"{kind}Trainer")(
        model=model, args=settings, train_dataset=data, processing_class=tokenizer, **more
    )


@pytest.mark.parametrize(
    "name", ["trl", "trl_prompt_completion", "trl_preference", "prompt_completion", "parquet", "own"]
)
@pytest.mark.filterwarnings("default")
def test_trl_prepares_what_is_written_for_it(name: str, tmp_path: Path, quiet_datasets: Any) -> None:
    pytest.importorskip("trl", exc_type=ImportError)
    path = own_file(tmp_path) if name == "own" else written(tmp_path, name)
    kind = "parquet" if path.suffix == ".parquet" else "json"
    data = quiet_datasets.load_dataset(kind, data_files=str(path), split="train", cache_dir=str(tmp_path / "cache"))
    trainer = trainer_of(name, data, tmp_path)
    assert len(trainer.train_dataset) == data.num_rows > 0
    columns = set(trainer.train_dataset.column_names)
    assert (
        {"prompt_ids", "chosen_ids", "rejected_ids"} <= columns if name == "trl_preference" else "input_ids" in columns
    )
    batch = next(iter(trainer.get_train_dataloader()))
    assert batch["input_ids"].shape[0] > 0


@pytest.mark.parametrize("name", ["together", "dpo", "prompt_completion"])
@pytest.mark.filterwarnings("default")
def test_together_accepts_what_is_written_for_it(name: str, tmp_path: Path) -> None:
    files = pytest.importorskip("together.lib.utils.files")
    report = files.check_file(written(tmp_path, name))
    assert report["is_check_passed"], report["message"]
    assert report["num_samples"] == len(lines_of(name)) > 0


@pytest.mark.filterwarnings("default")
def test_google_parses_every_turn_of_gemini(tmp_path: Path) -> None:
    types = pytest.importorskip("google.genai.types")
    lines = [json.loads(text) for text in written(tmp_path, "gemini").read_text(encoding="utf-8").splitlines()]
    for line in lines:
        turns = [types.Content.model_validate(turn) for turn in line["contents"]]
        assert [turn.role for turn in turns][-1] == "model" and turns[0].role == "user"
        if "systemInstruction" in line:
            assert types.Content.model_validate(line["systemInstruction"]).parts[0].text == "Be brief."
    assert len(lines) == 2
