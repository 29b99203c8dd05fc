"""`distil signals build | verify`: from curated examples to a finished cache in work/signals. Start reading here.

examples -> token ids, less what is stored (examples.py) -> the teacher's pass (teacher.py, draws.py, build.py), or an API's
top_logprobs from the ledger (api.py) -> shards -> merged index -> manifest
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from distil.calls.providers.catalog import PROVIDERS
from distil.errors import UserError
from distil.models.config import StudentConfig
from distil.models.template import student_template
from distil.progress import bar
from distil.runs.artifacts import Project
from distil.runs.manifest import StageRun, stage_run
from distil.runs.signals.shards import ShardWriter, merge_index
from distil.runs.signals.store import SignalStore
from distil.signals.api import build_from_answers
from distil.signals.build import write_examples, write_in_processes
from distil.signals.config import SignalsConfig
from distil.signals.examples import BuildCounts, TokenizedExample, curated, not_stored, tokenize
from distil.signals.inspect import InspectResult, VerifyResult, aligned, check_cache, measure, table
from distil.signals.plan import SignalPlan

IN_PROCESS = ("bundled", "local")


class BuildResult(NamedTuple):
    """What a build left behind."""

    kind: str
    examples: int
    """In the cache."""
    tokens: int
    """Cached positions: answer tokens."""
    bytes_per_token: float
    """All files of the cache, the index and every header included, over those tokens."""
    reused: int
    """Examples that an earlier run had stored."""
    too_long: int
    """Examples left out because they don't fit into max_length or the teacher's context."""
    notes: dict[str, int]
    """What else a person should know: for an API how many rows carry its alternatives."""

    def rows(self) -> list[tuple[str, str]]:
        """(what, value) for printing."""
        lines = [
            ("kind", self.kind),
            ("examples", f"{self.examples:,} ({self.reused:,} from an earlier run)"),
            ("answer tokens", f"{self.tokens:,}"),
            ("bytes a token", f"{self.bytes_per_token:.1f}"),
        ]
        if self.too_long:
            lines.append(("left out, too long", f"{self.too_long:,}"))
        return lines + [(key.replace("_", " "), str(value)) for key, value in self.notes.items()]

    def __str__(self) -> str:
        return aligned(self.rows())


def build(
    project: Project,
    section: SignalsConfig,
    *,
    teacher: str,
    student: StudentConfig | None,
    temperature: float = 1.0,
    seed: int = 0,
    part: tuple[int, int] | None = None,
) -> BuildResult:
    """Caches `teacher` over the curated examples; goes on where an earlier run stopped.

    teacher: bundled/teacher, a folder, local/PATH or a hub id; or the model behind an API that was asked with top_logprobs.
    student: whose tokenizer and chat template make the token ids (None = the teacher's own). Its tokens must be the teacher's.
    temperature: train.temperature, the one that the cache must be able to serve. seed: of the draws.
    part: (i, n) writes the i-th of n shares (from 0) only and finishes nothing: so that several machines can share the work on
    one folder; a last run without `part` merges and writes the manifest.
    Raises UserError for a cache in the folder that was made otherwise, for a teacher with other tokens, and for wrong settings.
    """
    absent = [split for split in section.splits if not project.split(split).exists()]
    if absent:
        raise UserError(
            f"{project.split(absent[0])} is not there. Run `distil curate` first, or leave {absent[0]} out of signals.splits."
        )
    student = student and student.model_copy(update={"model": project.placed(student.model)})
    with _run(project, section, part) as run:
        if run is not None:
            for split in section.splits:
                run.reads(project.split(split))
            run.seeds["draws"] = seed
        if _from_api(teacher):
            return _finish(project, build_from_answers(project, section, teacher, student), run)
        ref = project.placed(teacher).removeprefix("local/")
        template = student_template(student, project) if student else None
        plan = SignalPlan(ref, teacher, section, student, template, temperature=temperature, seed=seed)
        examples, too_long = tokenize(
            plan.tokenizer, curated(project, section.splits), plan.limit, one_answer=plan.one_answer
        )
        missing, reused = not_stored(project.signals, plan.spec, examples)
        if part:
            share = {example.example_id for example in examples[part[0] :: part[1]]}
            missing = [example for example in missing if example.example_id in share]
        if plan.spec.kind == "hidden":
            plan.write_head(project.signals)
        if missing:
            plan.teacher.check_head(min(missing, key=lambda example: len(example.token_ids)))
            _write(project.signals, plan, ref, missing, section, part)
        return _finish(project, BuildCounts(reused, too_long, {}), run)


def verify(project: Project) -> VerifyResult:
    """Reads every byte of the cache and compares checksums. Raises UserError when there is no finished cache."""
    return check_cache(SignalStore.open(project.signals))


def inspect(project: Project, example_id: str | None = None) -> InspectResult:
    """What the cache holds, and for one example what the teacher says at each position. Raises UserError for an unknown id."""
    return table(project, SignalStore.open(project.signals), example_id)


@contextmanager
def _run(project: Project, section: SignalsConfig, part: tuple[int, int] | None) -> Iterator[StageRun | None]:
    if part is None:
        with stage_run(project, "signals", section.model_dump(mode="json")) as run:
            yield run
        return
    if not 0 <= part[0] < part[1]:
        raise UserError(f"The part {part[0]} of {part[1]} does not exist; expected 0 to {part[1] - 1}.")
    yield None


def _from_api(teacher: str) -> bool:
    prefix = teacher.split("://", 1)[0] if "://" in teacher else teacher.split("/", 1)[0]
    return prefix in PROVIDERS and prefix not in IN_PROCESS and not Path(teacher).is_dir()


def _write(
    folder: Path,
    plan: SignalPlan,
    ref: str,
    examples: list[TokenizedExample],
    section: SignalsConfig,
    part: tuple[int, int] | None,
) -> None:
    shard_bytes = section.shard_mb * 2**20
    batch_tokens, count = section.batch_tokens, min(section.processes, len(examples))
    if section.teacher_memory is not None:
        count = 1  # one teacher takes all devices
    if count > 1:
        sizes = {"batch_tokens": batch_tokens, "shard_bytes": shard_bytes}
        write_in_processes(folder, ref, examples, plan.spec, count=count, **sizes)
        return
    total = sum(len(example.token_ids) for example in examples)
    name = "part0" if part is None else f"machine{part[0]}"
    with bar("signals", total, "tokens") as running, ShardWriter(folder, name, shard_bytes) as writer:
        advance = running.advance
        write_examples(plan.teacher, examples, writer, plan.spec, batch_tokens=batch_tokens, advance=advance)


def _finish(project: Project, counts: BuildCounts, run: StageRun | None) -> BuildResult:
    """Merges the index, notes the outputs. Only small files are stamped in the manifest: `verify` reads the shards."""
    folder = project.signals
    merge_index(folder)
    store = SignalStore.open(folder)
    figures = measure(store)
    result = BuildResult(store.spec.kind, len(store), figures.tokens, figures.bytes_per_token, *counts)
    if run is not None:
        for name in ("spec.json", "index.json", "index.npy"):
            run.wrote(folder / name, len(store) if name == "index.npy" else None)
        run.notes.update(result._asdict(), spec=store.spec.model_dump(mode="json"))
    return result
