"""Each thing that a certificate depends on voids it when it changes, with a sentence that says what and what to type."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from distil.calls.config import TeacherConfig
from distil.records import Sampling
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_examples, read_json, write_json, write_records
from distil.serve.calibration import calibrate
from distil.serve.certificate import depends
from distil.serve.certificate.depends import Subject, table, void
from distil.serve.config import ServeConfig
from distil.serve.live.report import serving
from distil.serve.stage import read_calibration
from tests.serve.calibration.test_calibrate import project_with, section_for
from tests.serve.running import StudentServer

TEACHER = TeacherConfig(model="openai/gpt-5-mini", sampling=Sampling(temperature=0.7))
FILES = {
    "model.safetensors": "weights",
    "config.json": "quantization and dtype",
    "generation_config.json": "generation_config",
    "chat_template.jinja": "template",
    "tokenizer.json": "tokenizer",
    "notes.txt": "other files",
}


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, ServeConfig]:
    """A calibrated student behind a server that has gone since."""
    project = project_with(tmp_path_factory.mktemp("certified"), labeled=60, held_out=30)
    with StudentServer() as student:
        section = section_for(student)
        calibrate.run(project, section, name="s", teachers=[TEACHER], system="Be brief.")
    return project, section


def broken(
    project: Project, section: ServeConfig, *, teacher: TeacherConfig = TEACHER, system: str = "Be brief."
) -> str | None:
    return void(read_calibration(project, "s"), Subject(project, "s", section, [teacher], system))


def test_nothing_changed_keeps_the_certificate(certified: tuple[Project, ServeConfig]) -> None:
    project, section = certified
    assert broken(project, section) is None
    rows = table(read_calibration(project, "s"), Subject(project, "s", section, [TEACHER], "Be brief."))
    assert {row.name for row in rows} >= {
        "engine",
        "teacher",
        "system prompt",
        "labels",
        "canaries",
        "goal",
        "risk",
        "file",
    }
    assert not any(row.changed for row in rows)
    assert void(read_calibration(project, "s"), Subject(project, "s", section)) is None  # unknown is not different


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"risk": 0.2}, r"serve\.risk is 0\.2, but 's' was calibrated with 0\.1\."),
        ({"confidence": 0.9}, r"serve\.confidence is 0\.9"),
        ({"score": "mean"}, r"serve\.score is mean"),
        ({"goal": 0.5}, r"serve\.goal is 0\.5"),
        ({"default_max_tokens": 99}, r"serve\.default_max_tokens is 99, but 's' was calibrated with 500"),
        ({"engine": "http://127.0.0.1:1/v1#other"}, "is to be served behind http://127"),
    ],
)
def test_settings_void_it(certified: tuple[Project, ServeConfig], change: dict[str, object], said: str) -> None:
    project, section = certified
    message = broken(project, section.model_copy(update=change))
    assert message is not None and re.search(said, message) and message.endswith("Run `distil calibrate s` again.")


def test_another_teacher_sampling_or_system_prompt_voids_it(certified: tuple[Project, ServeConfig]) -> None:
    project, section = certified
    other = broken(project, section, teacher=TeacherConfig(model="openai/gpt-5", sampling=TEACHER.sampling))
    assert other is not None and "openai/gpt-5-mini" in other and "teacher" in other
    hotter = broken(project, section, teacher=TeacherConfig(model=TEACHER.model, sampling=Sampling(temperature=0.2)))
    assert hotter is not None and '"temperature":0.2' in hotter
    assert "prompts.system has changed" in (broken(project, section, system="Be long.") or "")
    same = TEACHER.model_copy(update={"attempts": 2, "timeout_s": 5.0})
    assert broken(project, section, teacher=same) is None


def by_hand(project: Project) -> None:
    path = project.calibration("s")
    write_json(path, read_json(path) | {"threshold": 0.01})


def other_answer(project: Project) -> None:
    path = project.split("validation")
    first, *rest = read_examples(path)
    changed = first.messages[-1].model_copy(update={"content": "no"})
    write_records(path, [first.model_copy(update={"messages": [*first.messages[:-1], changed]}), *rest])


def other_canary(project: Project) -> None:
    path = project.canaries("s")
    path.write_text(path.read_text().replace("-0.01", "-0.02"))


def other_order(project: Project) -> None:
    path = project.split("validation")
    write_records(path, reversed(list(read_examples(path))))


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (by_hand, "edited by hand: its digest does not fit"),
        (other_answer, "validation prompts or their answers"),
        (other_canary, "canary prompts"),
        (other_order, None),
    ],
)
def test_edited_files_void_it(
    certified: tuple[Project, ServeConfig], edit: Callable[[Project], None], said: str | None
) -> None:
    project, section = certified
    paths = [project.calibration("s"), project.split("validation"), project.canaries("s")]
    before = [path.read_bytes() for path in paths]
    try:
        edit(project)
        message = broken(project, section)
    finally:
        for path, content in zip(paths, before, strict=True):
            path.write_bytes(content)
    assert message is None if said is None else message is not None and said in message


def test_each_file_of_the_model_is_named(tmp_path: Path) -> None:
    project = Project(tmp_path)
    model = project.model("s")
    model.mkdir(parents=True)
    for name in FILES:
        (model / name).write_text("as calibrated")
    subject = Subject(project, "s", ServeConfig())
    before = depends.facts(subject)
    for name, part in FILES.items():
        (model / name).write_text("changed")
        now = depends.facts(subject)
        assert [key for key in before if before[key] != now[key]] == [part]
        (model / name).write_text("as calibrated")
    assert depends.facts(subject) == before and "torch" in before["engine version"]


def test_other_versions_of_the_engine_void_it(
    certified: tuple[Project, ServeConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    project, section = certified
    local = section.model_copy(update={"engine": None})
    subject = Subject(project, "s", local)
    calibration = depends.sealed(read_calibration(project, "s"), depends.facts(subject))
    assert void(calibration, subject) is None
    monkeypatch.setattr(depends, "package_versions", lambda: dict.fromkeys(depends.PACKAGES, "99"))
    assert "would run with torch 99" in (void(calibration, subject) or "")


def test_a_goal_that_was_set_when_calibrating_voids_nothing(certified: tuple[Project, ServeConfig]) -> None:
    """Also where what is compared (a number, a label) has a goal of its own."""
    project, section = certified
    subject = Subject(project, "s", section.model_copy(update={"goal": 0.8}))
    calibration = depends.sealed(read_calibration(project, "s"), depends.facts(subject), 0.8)
    assert calibration.goal != 0.8 and void(calibration, subject) is None


def test_status_and_doctor_say_what_voids_it(certified: tuple[Project, ServeConfig]) -> None:
    """`distil status` and the doctor show these rows."""
    project, section = certified
    (row,) = serving(project, section, [TEACHER], "Be brief.")
    assert row.state == "done"
    for told, said in (
        (serving(project, section.model_copy(update={"risk": 0.2}), [TEACHER], "Be brief."), "serve.risk is 0.2"),
        (serving(project, section, [TEACHER], "Be long."), "prompts.system has changed"),
        (serving(project, section, [TEACHER.model_copy(update={"model": "openai/gpt-5"})], "Be brief."), "teacher"),
    ):
        assert told[0].state == "stale" and said in told[0].why


def test_a_calibration_of_an_earlier_version_is_refused(certified: tuple[Project, ServeConfig]) -> None:
    project, section = certified
    old = json.loads(project.calibration("s").read_text())
    del old["shape"], old["digest"], old["depends"]
    calibration = type(read_calibration(project, "s")).model_validate({k: v for k, v in old.items() if k != "schema"})
    assert "an earlier version wrote it" in (void(calibration, Subject(project, "s", section)) or "")
