"""Checks of the data: enough, complete, clean, and no test prompt among the training prompts."""

from __future__ import annotations

from collections import Counter

from distil.curate.evidence.filters import OPTIONAL
from distil.doctor import cures
from distil.doctor.evidence import Evidence
from distil.doctor.finding import Cure, Finding, cure, unknown
from distil.endings import ending
from distil.progress import dollars
from distil.records import Example
from distil.refusals.score import find_refusal
from distil.runs.manifest import read_manifest
from distil.runs.schemas.notes import CurateNotes, CurateSettings
from distil.text import instructions, prompt_key
from distil.thinking import part

MIN_EXAMPLES = 1_000
MIN_TEST = 200
SUSPICIOUS_SHARE = 0.05  # of the kept answers, for one reason
NO_FILTER = frozenset(
    ("choose", "replacement", "duplicate", "near_duplicate", "leak", "contamination", "keep", "balance", "person")
)
"""Reasons that say nothing against the answer: another one was chosen, or it is one too many, or a person said so."""
NOT_CURATED = unknown("Nothing has been curated yet.", "distil curate")
NOT_COLLECTED = unknown("No answers have been collected yet.", "distil collect")
NO_TRAIN_SPLIT = unknown("There is no training split yet.", "distil curate")


def enough_examples(evidence: Evidence) -> Finding:
    """The article: 1,000 to 10,000 examples at least."""
    if not evidence.curated:
        return NOT_CURATED
    count = len(evidence.split("train"))
    seen = f"{count:,} training examples in work/curate/train.jsonl."
    if count >= MIN_EXAMPLES:
        return Finding(level="ok", seen=seen)
    return Finding(
        level="problem" if count < MIN_EXAMPLES / 5 else "warn",
        seen=seen,
        why=f"Students keep improving well beyond {MIN_EXAMPLES:,} examples; with fewer they mostly learn the format.",
        cure=cures.more_examples(evidence, max(100, MIN_EXAMPLES - count)),
    )


def enough_test_prompts(evidence: Evidence) -> Finding:
    """The article: 200 or more held-out prompts."""
    if not evidence.curated:
        return NOT_CURATED
    count = len(evidence.split("test"))
    seen = f"{count:,} held-out prompts in work/curate/test.jsonl."
    if count >= MIN_TEST:
        return Finding(level="ok", seen=seen)
    half = f"; an accuracy of 90% has an interval of about ± {196 * (0.09 / count) ** 0.5:.0f} points" if count else ""
    fixed = cure({"curate.test": MIN_TEST}, ["distil curate"])
    if CurateSettings.of(read_manifest(evidence.project, "curate")).test >= MIN_TEST:  # there are not that many prompts
        fixed = cure(advice="Or mark more prompts of your file with `split: test`.")
        fixed = cures.more_examples(evidence, 3 * max(MIN_TEST - count, 50)) + fixed
    return Finding(
        level="warn" if count >= 50 else "problem",
        seen=seen,
        why=f"With fewer than {MIN_TEST} prompts, the error bars are too wide for a decision{half}.",
        cure=fixed,
    )


def truncated_answers(evidence: Evidence) -> Finding:
    """Answers that hit the token limit: cut off, but billed in full."""
    answers = evidence.answers
    if not answers:
        return NOT_COLLECTED
    cut = [answer for answer in answers if ending(answer.finish_reason) in ("cut", "fault")]
    seen = f"{len(cut):,} of {len(answers):,} answers ({len(cut) / len(answers):.1%}) were cut off at the token limit."
    if len(cut) <= 0.01 * len(answers):
        return Finding(level="ok", seen=seen)
    limit = max(answer.sampling.max_tokens for answer in cut)
    return Finding(
        level="problem" if len(cut) > 0.1 * len(answers) else "warn",
        seen=seen,
        why="They are paid for and then dropped, which biases the training data toward short answers.",
        cure=_longer_limit(evidence, {answer.teacher for answer in cut}, 2 * limit),
    )


def _longer_limit(evidence: Evidence, teachers: set[str], tokens: int) -> Cure:
    """A higher max_tokens for those whose answers were cut; a file of answers has no limit."""
    config = evidence.config
    if config is None:
        return cure({"teachers.0.sampling.max_tokens": tokens}, ["distil collect", "distil curate"])
    named = [at for at, teacher in enumerate(config.teachers) if teacher.model in teachers] or [0]
    asked = [at for at in named if cures.teacher_kind(config, at) != "recorded"]
    if not asked:
        return cure(
            advice="The answers come from a file: write the whole answers into it, then collect and curate again."
        )
    spent = read_manifest(evidence.project, "collect")
    cost = f", at about what they cost ({dollars(spent.usd)})" if spent is not None and spent.usd else ""
    return cure(
        {f"teachers.{at}.sampling.max_tokens": tokens for at in asked},
        ["distil collect", "distil curate"],
        f"Another limit is another request: all answers of that teacher are asked for again{cost}.",
    )


def near_duplicates_off(evidence: Evidence) -> Cure:
    """The filter against near-duplicates, switched on where it is off or looser than usual; else curating again."""
    now = evidence.config.curate.near_duplicates if evidence.config is not None else 0.85
    usual = now is not None and now <= 0.85
    return cure({} if usual else {"curate.near_duplicates": 0.85}, ["distil curate"])


def _dropped(evidence: Evidence, name: str) -> Cure:
    """A filter that is off is switched on; one that is on is made stricter, by a person."""
    advice = f"Look at them first in work/curate/evidence.jsonl (suspicious: {name})."
    config = evidence.config
    now = config.curate.filters if config is not None else "default"
    if config is None or now == "default" or name in now:
        return cure(commands=["distil curate"], advice=f"{advice} Then set a threshold in curate.thresholds.{name}.")
    return cures.default_filter(config, name) + cure(advice=advice)


def thinking_in_answers(evidence: Evidence) -> Finding:
    """Thinking in the texts of answers: of a version that did not part it, or of a file of answers."""
    if not evidence.answers:
        return NOT_COLLECTED
    count = sum(part(answer.text).thinking is not None for answer in evidence.answers)
    seen = f"{count:,} of {len(evidence.answers):,} answers have the teacher's thinking in their text."
    if count == 0:
        return Finding(level="ok", seen=seen)
    return Finding(
        level="problem",
        seen=seen,
        why="The student learns to write it too, and a program that expects JSON finds none.",
        cure=cure(
            commands=["distil collect --rebuild", "distil curate"],
            advice="This reads the ledger again, at no cost, and parts thinking from answers.",
        ),
    )


def failed_calls(evidence: Evidence) -> Finding:
    """Prompts without an answer, by kind of failure."""
    if not evidence.answers and not evidence.failures:
        return NOT_COLLECTED
    total = len(evidence.answers) + len(evidence.failures)
    share = len(evidence.failures) / total
    kinds = Counter(failure.kind for failure in evidence.failures).most_common(3)
    listed = f" ({', '.join(f'{kind} {n}' for kind, n in kinds)})" if kinds else ""
    seen = f"{len(evidence.failures):,} of {total:,} calls have no answer{listed}."
    if not evidence.failures:
        return Finding(level="ok", seen=seen)
    return Finding(
        level="problem" if share > 0.05 else "warn",
        seen=seen,
        why="Failures are rarely random. Often the long or unusual prompts fail, and the student never sees them.",
        cure=cure(
            commands=["distil collect --only failed"],
            advice="Only what failed is asked for again; the reasons are in work/collect/failures.jsonl.",
        ),
    )


def duplicates(evidence: Evidence) -> Finding:
    """Identical prompts in train."""
    train = evidence.split("train")
    if not train:
        return NO_TRAIN_SPLIT
    asked = {
        example.prompt_id: prompt_key(example.prompt_messages) for example in train
    }  # curate.choose: all and votes keep several
    repeated = len(asked) - len(set(asked.values()))
    seen = f"{repeated:,} of {len(train):,} training prompts are copies of another."
    if repeated <= 0.02 * len(train):
        return Finding(level="ok", seen=seen)
    return Finding(
        level="warn",
        seen=seen,
        why="Repeated prompts cost money and training time, and make the student generic.",
        cure=near_duplicates_off(evidence),
    )


def refusals(evidence: Evidence) -> Finding:
    """Refusals in train."""
    train = evidence.split("train")
    if not train:
        return NO_TRAIN_SPLIT
    count = sum(_refuses(example) for example in train)
    seen = f"{count:,} of {len(train):,} training answers ({count / len(train):.1%}) are refusals."
    if count <= 0.01 * len(train):
        return Finding(level="ok", seen=seen)
    return Finding(
        level="warn",
        seen=seen,
        why="Students learn refusals quickly, and then refuse what the teacher would answer.",
        cure=cures.default_filter(evidence.config, "refusal"),
    )


def _refuses(example: Example) -> bool:
    """Whether curate's filter would call the answer a refusal."""
    turns = example.prompt_messages
    return find_refusal(example.answer, turns[-1].text if turns else "", instructions(turns)) is not None


def suspicious(evidence: Evidence) -> Finding:
    """Answers that are kept although something was found in them; what is normal in many tasks (an address) is only said."""
    train = evidence.split("train")
    if not train:
        return NO_TRAIN_SPLIT
    found = [r for r in CurateNotes.of(read_manifest(evidence.project, "curate")).reasons if r.kind == "suspicious"]
    kept = sum(len(evidence.split(name)) for name in ("train", "validation", "test"))
    faults = [reason for reason in found if reason.name not in OPTIONAL]
    worst = max((reason.count for reason in faults), default=0)
    listed = ", ".join(f"{reason.name} {reason.count:,}" for reason in found)
    seen = (
        f"Of {kept:,} answers that were kept, some are suspicious: {listed}."
        if found
        else "No kept answer is suspicious."
    )
    if worst <= max(SUSPICIOUS_SHARE * kept, 1):
        return Finding(level="ok", seen=seen)
    example = next(reason for reason in faults if reason.count == worst)
    return Finding(
        level="warn",
        seen=f"{seen} For example: {example.examples[0].reason}.",
        why="The student learns what is in its training answers, one habit in twenty included.",
        cure=_dropped(evidence, example.name),
    )


def much_dropped(evidence: Evidence) -> Finding:
    """How many paid answers the filters drop; not the losers of a choice, nor duplicates."""
    if not evidence.curated or not evidence.answers:
        return NOT_CURATED
    every = Counter(verdict.filter for verdict in evidence.dropped)
    kinds = Counter({name: count for name, count in every.items() if name not in NO_FILTER})
    dropped, total = kinds.total(), len(evidence.answers) - every["choose"]
    listed = f": {', '.join(f'{kind} {n:,}' for kind, n in kinds.most_common(3))}" if kinds else ""
    seen = f"{dropped:,} of {total:,} answers were dropped{listed}."
    if every["choose"]:
        seen += f" {every['choose']:,} more were not chosen."
    if spare := every.total() - dropped - every["choose"]:
        seen += f" {spare:,} more repeat another row, or are more than was asked for."
    if dropped <= 0.2 * total:
        return Finding(level="ok", seen=seen)
    return Finding(
        level="warn",
        seen=seen,
        why="Dropped answers were paid for, and a filter that drops this many may be wrong for the task.",
        cure=cure(
            commands=["distil view dropped"],
            advice="Look at them; `curate.filters: [default, -NAME]` takes the filter NAME out.",
        ),
    )
