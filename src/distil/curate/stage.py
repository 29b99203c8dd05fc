"""Stage `curate`: prompts and answers in; train, validation and test out, with a reason for every dropped answer.

Join, filter, choose one answer per prompt, drop redundant rows, split without leakage, write. Not the export to other formats
(export.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from pydantic import Field

from distil.curate.answers import COMPARING, apply_sides, call, choose_answers, side_notes, trained_on
from distil.curate.choose import Judge
from distil.curate.committee import CommitteeReport, without_references
from distil.curate.config import CurateConfig, without_effect
from distil.curate.duplicates import drop_redundant
from distil.curate.evidence.apply import Edits, Measured, apply_filters, unfit_answers
from distil.curate.evidence.context import context_signal, fits_with_thinking
from distil.curate.evidence.corpus import Pair, describe_corpus
from distil.curate.evidence.digest import Digest
from distil.curate.evidence.filters import Chosen, choose_filters
from distil.curate.evidence.found import WholeSignal
from distil.curate.evidence.masking import Masked, mask_all
from distil.curate.evidence.signals import measure
from distil.curate.keep import keep_rows
from distil.curate.reasoning import keep_traces
from distil.curate.select import join, read_collected
from distil.curate.split.meaning import Meaning
from distil.curate.split.partition import partition
from distil.errors import UserError
from distil.models.config import StudentConfig
from distil.progress import bar
from distil.records import Answer, Example, Prompt, Record, Split, Verdict
from distil.runs.artifacts import Project
from distil.runs.jsonl import write_records
from distil.runs.manifest import StageRun, stage_run
from distil.runs.marks import read_marks
from distil.runs.schemas.evidence import Reason
from distil.runs.schemas.marks import Mark

SPLITS: tuple[Split, ...] = ("train", "validation", "test")


class CurateResult(Record):
    """What was kept, what was dropped and why, and how clean the split is."""

    train: int
    """Examples to train on."""
    validation: int
    """Examples to watch overfitting and to calibrate with."""
    test: int
    """Held-out examples."""
    dropped: dict[str, int]
    """Answers dropped, per filter."""
    reasons: list[Reason]
    """What was dropped, corrected, found suspicious or not chosen, with examples."""
    masked: dict[str, int]
    """Values replaced by placeholders, by their kind, in answers with their prompts."""
    unanswered: int
    """Prompts without any answer."""
    answers: int
    """Answers that belong to a prompt."""
    components: int
    """Independent groups of prompts."""
    largest_component: int
    """Prompts in the largest of them."""
    max_similarity: float | None
    """Highest remaining Jaccard similarity between a training and a test prompt; None = one of the two is empty."""
    meaning: Meaning | None = None
    """What is left between train and test by meaning; None = nothing can be embedded here, or one of the two is empty."""
    committee: CommitteeReport | None = None
    """How far the teachers agree with each other and with the log; None = choose is not committee."""
    complete: bool = True
    """False when the judge could not be asked for all answers: the next run may get more."""
    thinking: dict[str, int] = Field(default_factory=dict)
    """Training examples by what became of their thinking; empty where curate.reasoning is drop."""
    warnings: list[str]
    """For a person."""

    def rows(self) -> list[tuple[str, str]]:
        """(name, value) pairs for a table."""
        dropped = _counted({name: n for name, n in self.dropped.items() if name != "choose"}) or "none"
        suspicious = _counted({reason.name: reason.count for reason in self.reasons if reason.kind == "suspicious"})
        similarity = "-" if self.max_similarity is None else f"{self.max_similarity:.2f}"
        return [
            ("train / validation / test", f"{self.train:,} / {self.validation:,} / {self.test:,}"),
            ("dropped", dropped),
            *([("not chosen", f"{self.dropped['choose']:,}")] if "choose" in self.dropped else []),
            *([("suspicious, but kept", suspicious)] if suspicious else []),
            *([("masked", _counted(self.masked))] if self.masked else []),
            ("prompts without an answer", f"{self.unanswered:,}"),
            ("independent groups of prompts", f"{self.components:,} (largest {self.largest_component:,})"),
            ("highest similarity, train to test", similarity),
            *([("by meaning", self.meaning.sentence())] if self.meaning else []),
            *(self.committee.rows() if self.committee else []),
            *([("thinking of the training answers", _counted(self.thinking))] if self.thinking else []),
            *(("warning", warning) for warning in self.warnings),
        ]


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())


def run(
    project: Project,
    section: CurateConfig,
    *,
    judge: Judge | None = None,
    teachers: Sequence[str] | None = None,
    student: StudentConfig | None = None,
    max_length: int | None = None,
    closed: bool = False,
) -> CurateResult:
    """Curates the collected answers.

    judge: scores answers for `choose: judge` and `best`; teachers: the order of `first`; student, max_length: longer rows are
    left out; closed: no further prompt becomes a test prompt. Raises UserError: missing inputs, unknown filters, nothing is left.
    """
    chosen_filters = _filters(project, section)
    verdicts, edits = list[Verdict](), Edits()
    with stage_run(project, "curate", section.model_dump(mode="json")) as stage:
        prompts, answers, marks = _read(project, stage, section, chosen_filters)
        pairs = join(prompts, answers, teachers)
        quorum = call(section, pairs, judge) if pairs else None
        with bar("curate", total=100, unit="%") as progress:  # shares of the time, measured on 20,000 rows
            fits = context_signal(project, student, max_length) if "context" in chosen_filters.active else None
            masked, marks = mask_all(pairs, marks, section.mask)
            table = _measure(masked, chosen_filters, fits)
            passed = apply_filters(table, chosen_filters, verdicts, marks, edits)
            progress.advance(32, note="filtered")
            unfit = unfit_answers(table, chosen_filters, marks)
            chosen = choose_answers(table, passed, unfit, section, verdicts, judge, marks, quorum)
            cosine, prefer = section.semantic_duplicates, trained_on(chosen.choices)
            rows = drop_redundant(chosen.rows, section.near_duplicates, verdicts, cosine=cosine, prefer=prefer)
            progress.advance(16, note="chosen")
            _require_rows(rows, pairs, verdicts)
            parts = partition(stage, rows, section, verdicts, closed=closed)
            placed = keep_rows(apply_sides(rows, parts.sides, chosen, verdicts), parts.sides, section, verdicts)
            progress.advance(40, note="split")
            digest = _write_evidence(project, stage, table, Digest(chosen_filters, verdicts, edits))
            thinking = keep_traces(section, placed, parts.sides, fits_with_thinking(project, student, max_length))
            counts = _write(project, stage, section, placed, parts.sides, verdicts, thinking.texts)
            progress.advance(12, note="written")
        notes = [*parts.notes, *chosen.notes, *side_notes(chosen, table, placed, parts.sides), *thinking.notes]
        result = CurateResult(
            **counts,
            dropped=dict(Counter(v.filter for v in verdicts)),
            reasons=digest.reasons(),
            masked=dict(sum((Counter(measured.masked) for measured in table), Counter())),
            unanswered=len(prompts) - len({prompt.id for prompt, _ in pairs}),
            answers=len(pairs),
            components=parts.components,
            largest_component=parts.largest,
            max_similarity=parts.max_similarity,
            meaning=parts.meaning,
            committee=chosen.committee,
            complete=getattr(judge, "complete", True),
            thinking=thinking.counts,
            warnings=_warnings([*without_effect(section), *notes], verdicts, len(answers) - len(pairs), counts),
        )
        stage.usd = getattr(judge, "usd", 0.0)
        stage.notes.update(result.model_dump())
    return result


def _filters(project: Project, section: CurateConfig) -> Chosen:
    """The filters of the section; those that compare with references only where these are right."""
    chosen = choose_filters(section.filters, section.thresholds, project.root)
    if not section.references_unchecked:
        return chosen
    for name, filter_ in chosen.active.items():
        if filter_.signal in COMPARING:
            raise UserError(
                f"curate.filters: {name} compares answers with the references, and nobody checked those (curate.references, "
                f"or choose: committee). Set curate.references: right, or take {name} out."
            )
    return chosen._replace(off={name: each for name, each in chosen.off.items() if each.signal not in COMPARING})


def _read(
    project: Project, stage: StageRun, section: CurateConfig, filters: Chosen
) -> tuple[list[Prompt], list[Answer], dict[str, Mark]]:
    """Prompts, answers and marks; the stage's manifest says that it was made of them."""
    for path in (project.prompts, project.answers):
        if not path.exists():
            raise UserError(f"{project.relative(path)} does not exist yet. Run `distil collect` first.")
    for path in (project.prompts, project.answers, *filters.files):
        stage.reads(path)
    stage.seeds["split"] = section.seed
    return *read_collected(project), _marks(project, stage)


def _measure(rows: Sequence[Masked], chosen: Chosen, fits: WholeSignal | None) -> list[Measured]:
    """The evidence on every answer, as it may be written. fits: the signal `context`."""
    given = {"context": fits} if fits is not None else {}
    pairs = [row.pair for row in rows]
    signals = measure(pairs, describe_corpus(pairs), chosen.wanted, chosen.own, given)
    return [Measured(row.pair, found, row.counts) for row, found in zip(rows, signals, strict=True)]


def _write_evidence(project: Project, stage: StageRun, table: Sequence[Measured], digest: Digest) -> Digest:
    stage.wrote(project.evidence, write_records(project.evidence, map(digest.row, table)))
    return digest


def _marks(project: Project, stage: StageRun) -> dict[str, Mark]:
    """A person's marks (`distil view`), by answer id."""
    if not project.marks.exists():
        write_records(project.marks, [])  # so that the first mark counts as a change of this input
    stage.reads(project.marks)
    return read_marks(project.marks)


def _write(
    project: Project,
    stage: StageRun,
    section: CurateConfig,
    rows: Sequence[Pair],
    sides: Mapping[str, Split],
    verdicts: Sequence[Verdict],
    thinking: Mapping[str, str],
) -> dict[Split, int]:
    """Writes the splits, one after the other, and returns how many examples are in each. thinking: by answer id."""
    counts: dict[Split, int] = {}
    rows = without_references(rows) if section.references_unchecked else rows
    for split in SPLITS:
        path = project.split(split)
        of_split = (
            Example.of(row.prompt, row.answer, split, reasoning=thinking.get(row.answer.id))
            for row in rows
            if sides.get(row.prompt.id) == split
        )
        counts[split] = write_records(path, of_split)
        stage.wrote(path, counts[split])
    stage.wrote(project.dropped, write_records(project.dropped, verdicts))
    return counts


def _require_rows(rows: Sequence[Pair], pairs: Sequence[Pair], verdicts: Sequence[Verdict]) -> None:
    if rows:
        return
    if not pairs:
        raise UserError(
            "None of the answers belongs to a prompt. The prompts have changed: run `distil collect` again."
        )
    counts = Counter(v.filter for v in verdicts).most_common()
    example = verdicts[0].reason
    raise UserError(
        f"All {len(pairs)} answers were dropped ({', '.join(f'{name} {count}' for name, count in counts)}; "
        f"for example: {example}). Fix the cause, or list the filters that you want in curate.filters."
    )


def _left_out(verdicts: Sequence[Verdict]) -> list[str]:
    """What a person must know about prompts that the student can't read: the evaluation is silent on them."""
    long = {verdict.prompt_id for verdict in verdicts if verdict.filter == "context"}
    if not long:
        return []
    return [
        f"{len(long):,} prompts are with their answers longer than the student reads and in no split, so the evaluation says "
        "nothing about such prompts; choose a student with a longer context, or raise train.max_length, to include them"
    ]


def _warnings(
    notes: Sequence[str], verdicts: Sequence[Verdict], orphans: int, counts: Mapping[Split, int]
) -> list[str]:
    warnings = [*notes, *_left_out(verdicts)]
    if orphans:
        warnings.append(f"{orphans:,} answers belong to prompts that are no longer in prompts.jsonl; they are left out")
    if not counts["train"]:
        warnings.append("train is empty: the file marks every prompt as held out")
    return warnings
