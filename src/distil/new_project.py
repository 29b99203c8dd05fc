"""A new project: its folder with distil.yaml, and the prompts and answers that it starts with. Everything is checked first."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from distil.bundled.triage import write_prompts
from distil.calls.config import TeacherConfig
from distil.calls.providers.catalog import key_variable, open_keyless, parse_model
from distil.calls.providers.openai_names import refuses_sampling
from distil.config import Config, override_config
from distil.config_file import write_config, write_short_config
from distil.errors import UserError, did_you_mean
from distil.models.hub import cached
from distil.models.load import resolve
from distil.prompts.stage import Checked, check
from distil.runs.artifacts import Project
from distil.templates import Json, Template, template_named

STARTER_FILE = "prompts.jsonl"
STARTER_PROMPTS: tuple[Json, ...] = (
    {"prompt": "Explain what a message queue is to a new colleague."},
    {
        "prompt": "Summarize this complaint in one sentence: the parcel came two weeks late and the box was open.",
    },
    {"prompt": "Write a Python function that checks whether a word is a palindrome."},
)
DEFAULT_TEACHER, DEFAULT_STUDENT = "openai/gpt-5-mini", "Qwen/Qwen3-0.6B"
USUAL_STUDENTS = (
    DEFAULT_STUDENT, "Qwen/Qwen3-1.7B", "Qwen/Qwen3-4B", "Qwen/Qwen2.5-0.5B-Instruct", "Qwen/Qwen2.5-1.5B-Instruct",
    "HuggingFaceTB/SmolLM2-135M-Instruct", "HuggingFaceTB/SmolLM2-360M-Instruct", "HuggingFaceTB/SmolLM2-1.7B-Instruct",
    "meta-llama/Llama-3.2-1B-Instruct", "meta-llama/Llama-3.2-3B-Instruct", "google/gemma-3-270m-it", "google/gemma-3-1b-it",
)  # fmt: skip
"""Names of the hub that a typo is compared with where nothing can be looked up; any other name is fine, too."""
TOKENS_FOR_THOUGHT = 2000
"""Added to max_tokens of a teacher that thinks before it answers, because it counts both."""
_HUB_ID = re.compile(r"(?:[\w.-]+/)?[\w.-]+")


def new_project(
    folder: Path,
    *,
    teacher: str | None = None,
    student: str | None = None,
    prompts: Path | None = None,
    template: str | None = None,
    overrides: Sequence[str] = (),
    whole: bool = False,
) -> Project:
    """Makes the folder with its distil.yaml; models, prompts and recorded answers are checked at once.

    template: a name of templates.TEMPLATES. whole: distil.yaml has every key, not just those that differ from the defaults or
    are worth a look. Raises UserError: there is a project already, or a name, a setting or a file is wrong.
    """
    project = Project(folder)
    check_folder(project)
    task = template_named(template) if template is not None else None
    recorded = _recorded_file(teacher, project.root) if teacher else None
    model = f"recorded/{recorded.name}" if recorded else teacher
    if model and not recorded:
        check_teacher(model, project.root)
    if student:
        check_student(student, project)
    data = _sections(project, task, model, student)
    data["prompts"] = {"path": _from(project, prompts) if prompts else STARTER_FILE, **_section(data, "prompts")}
    config = override_config(data, "distil init", overrides)
    if prompts is not None:
        check((project.root / config.prompts.path).resolve(), config.prompts.attachments)
    text = write_config(config) if whole else write_short_config(config)
    try:
        project.root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"{project.root} can't be made: {error.strerror}. Choose another folder: distil init DIR."
        ) from None
    if recorded is not None and recorded.parent != project.root:
        shutil.copyfile(recorded, project.root / recorded.name)
    if not prompts:
        _write_prompts(project.root / STARTER_FILE, task)
    project.config.write_text(text, encoding="utf-8")
    return project


def check_folder(project: Project) -> None:
    """Raises UserError where a new project can't be made."""
    if project.config.exists():
        raise UserError(f"{project.config} already exists. Edit it, or choose another folder: distil init DIR.")
    if project.root.exists() and not project.root.is_dir():
        raise UserError(f"{project.root} is a file. Choose another name for the project's folder: distil init DIR.")


def check_prompts(path: Path) -> Checked:
    """What a file of prompts holds. Raises UserError, in the reader's words."""
    return check(path.expanduser().resolve())


def check_teacher(model: str, root: Path) -> None:
    """Raises UserError for a name that no provider has, or a folder or file that is not there. Nothing is sent."""
    ref = parse_model(model)
    if ref.prefix == "local":
        local = Project(root).placed(ref.name)
        resolve(local)
    elif ref.local:
        open_keyless(TeacherConfig(model=model), root)


def check_student(model: str, project: Project) -> None:
    """Raises UserError for what can be neither a folder with a model nor a name of the hub. Nothing is fetched."""
    if model.startswith("local/"):
        raise UserError(f"--student {model}: a student is named without local/. Write {model.removeprefix('local/')}.")
    if model.startswith(("http://", "https://", "recorded/")):
        raise UserError(
            f"--student {model}: the student is trained here, so it is bundled/student, a folder with a Hugging Face model, or a "
            f"name of the hub such as {DEFAULT_STUDENT}."
        )
    found = resolve(project.placed(model))
    if not Path(found).is_dir() and _HUB_ID.fullmatch(model) is None:
        raise UserError(
            f"--student {model}: there is no such folder, and a name of the hub has letters, digits, - _ . and one slash: "
            f"{DEFAULT_STUDENT}."
        )


def remarks(project: Project, config: Config, environ: Mapping[str, str] = os.environ) -> list[str]:
    """What is worth knowing before the next command: a key that is missing, a student that is not on this machine."""
    said = []
    for teacher in config.teachers:
        variable = key_variable(teacher, environ)
        if variable is not None and not environ.get(variable) and not parse_model(teacher.model).local:
            said.append(f"{teacher.model} needs a key before `distil collect`: export {variable}=...")
    model = config.student.model
    if not Path(resolve(project.placed(model))).is_dir() and cached(model, "config.json") is None:
        close = "" if model in USUAL_STUDENTS else did_you_mean(model, USUAL_STUDENTS)
        said.append(
            f"The student {model} is not on this machine. The hub is asked for it when it is first needed, and only then is its "
            f"name checked.{close}"
        )
    return said


def _from(project: Project, path: Path) -> str:
    """A path as the project names it: relative, so that both can be moved together."""
    target = path.expanduser().resolve()
    try:
        return Path(os.path.relpath(target, project.root)).as_posix()
    except ValueError:  # another drive
        return str(target)


def _recorded_file(teacher: str, root: Path) -> Path | None:
    """The file of a recorded teacher, which the project takes along; None for any other teacher. Raises UserError."""
    if not teacher.startswith("recorded/"):
        return None
    tried = [folder / name for name in (teacher.removeprefix("recorded/"), teacher) for folder in (Path.cwd(), root)]
    found = next((path.resolve() for path in tried if path.is_file()), None)
    if found is None:
        raise UserError(
            f"--teacher {teacher}: {tried[0]} is not there. Expected recorded/FILE.jsonl with one JSON object with a prompt and "
            "its answer on each line."
        )
    copy = root / found.name
    if copy.exists() and copy.resolve() != found and copy.read_bytes() != found.read_bytes():
        raise UserError(
            f"{copy} already exists and differs from {found}. Rename one of them, or choose another folder."
        )
    check_teacher(f"recorded/{found}", root)
    return found


def _sections(project: Project, task: Template | None, teacher: str | None, student: str | None) -> dict[str, object]:
    """The config's sections that are not left at their defaults."""
    data: dict[str, object] = {"task": project.root.name}
    own = task.teacher if task else None
    entry: Json = {"model": teacher} if teacher else dict(own or {"model": DEFAULT_TEACHER})
    sampling = _sampling(str(entry["model"]), task.sampling if task else {})
    if sampling:
        entry["sampling"] = sampling
    data["teachers"] = [entry]
    model = student or (task.student if task else None)
    if model:
        data["student"] = {"model": model}
    return {**data, **{name: dict(section) for name, section in (task.sections if task else {}).items()}}


def _section(data: Mapping[str, object], name: str) -> Json:
    found = data.get(name)
    return dict(found) if isinstance(found, dict) else {}


def _sampling(model: str, wanted: Json) -> Json:
    """How the teacher samples: one that thinks first takes no temperature, and its thoughts count as tokens of the answer."""
    ref = parse_model(model)
    if ref.local or not refuses_sampling(ref.name.rpartition("/")[2], None):
        return dict(wanted)
    tokens = wanted.get("max_tokens", 500)
    assert isinstance(tokens, int)
    return {"temperature": 1.0, "max_tokens": tokens + TOKENS_FOR_THOUGHT, "reasoning_effort": "low"}


def _write_prompts(path: Path, task: Template | None) -> None:
    """The template's prompts, or a starter file to replace; an existing file is left alone."""
    if path.exists():
        return
    if task is not None and not task.prompts:
        write_prompts(path)
        return
    rows = task.prompts if task is not None else STARTER_PROMPTS
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
