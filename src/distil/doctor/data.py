"""Checks of the data: enough, complete, clean, and no test prompt among the training prompts."""

from __future__ import annotations

from collections import Counter

from distil.curate.evidence.filters import OPTIONAL
from distil.curate.split.links import question_keys
from distil.doctor.evidence import Evidence
from distil.doctor.finding import Finding
from distil.endings import ending
from distil.records import Example, Prompt
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
NOT_CURATED = Finding(level="unknown", seen="Nothing has been curated yet.", fix="distil curate")
NOT_COLLECTED = Finding(level="unknown", seen="No answers have been collected yet.", fix="distil collect")
NO_TRAIN_SPLIT = Finding(level="unknown", seen="There is no training split yet.", fix="distil curate")


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
        fix=f"distil prompts expand --count {max(100, MIN_EXAMPLES - count)}\ndistil collect\ndistil curate",
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
    fix = f"distil curate --set curate.test={MIN_TEST}"
    if CurateSettings.of(read_manifest(evidence.project, "curate")).test >= MIN_TEST:  # there are not that many prompts
        fix = "set `split: test` on more prompts in their file, or write more prompts:\n"
        fix += f"distil prompts expand --count {3 * max(MIN_TEST - count, 50)}\ndistil collect\ndistil curate"
    return Finding(
        level="warn" if count >= 50 else "problem",
        seen=seen,
        why=f"With fewer than {MIN_TEST} prompts, the error bars are too wide for a decision{half}.",
        fix=fix,
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
        fix=f"distil collect --set teachers.0.sampling.max_tokens={2 * limit}\n"
        "(collects every answer again, because a different limit makes a different request)",
    )


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
        fix="distil collect --rebuild\n(reads the ledger again, at no cost, and parts thinking from answers); then distil curate",
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
        fix="distil collect\n(requests only the missing answers; the reasons are in work/collect/failures.jsonl)",
    )


def leakage(evidence: Evidence) -> Finding:
    """Test prompts that are also in train or validation, verbatim or nearly."""
    test = evidence.split("test")
    if not test:
        return Finding(level="unknown", seen="There is no test split yet.", fix="distil curate")
    learned = [*evidence.split("train"), *evidence.split("validation")]
    keys = question_keys(
        [Prompt.model_construct(id=e.prompt_id, messages=e.prompt_messages) for e in [*learned, *test]]
    )
    others = {keys[example.prompt_id] for example in learned}
    groups = {example.group for example in learned if example.group}
    same = sum(keys[example.prompt_id] in others for example in test)
    shared = sum(example.group in groups for example in test if example.group)
    nearest = CurateNotes.of(read_manifest(evidence.project, "curate")).max_similarity
    seen = f"{same} of {len(test):,} test prompts are also in another split, {shared} share a group with one."
    if nearest is not None:
        seen += f" The nearest pair of a training and a test prompt has a similarity of {nearest:.2f}."
    if same or shared:
        return Finding(
            level="problem",
            seen=seen,
            why="The student has seen these answers, so the evaluation measures memory instead of skill.",
            fix="distil curate\n(splits again without leakage; remove fixed `split` values from identical prompts)",
        )
    return Finding(level="ok", seen=seen)


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
        fix="distil curate --set curate.near_duplicates=0.85",
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
        fix="distil curate --set curate.filters=default\n(which include the filter `refusal`), or improve the system prompt",
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
        fix=f"look at them in work/curate/evidence.jsonl (suspicious: {example.name}), then drop them by a\n"
        f"lower value in curate.thresholds, or with curate.filters=[default, {example.name}] where that filter is off",
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
        fix="distil view dropped\n(look at them, then list the filters that you want in curate.filters)",
    )
