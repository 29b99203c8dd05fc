"""Checks of single training rows: blank or broken answers, one answer for all, contradictions, another language than asked in.

They read the rows as they are trained on, so that files that were edited after curation are seen, too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from distil.curate import contradictions
from distil.curate.evidence.corpus import Pair, describe_corpus
from distil.curate.evidence.language import other_languages
from distil.curate.votes import describe_task
from distil.doctor import cures
from distil.doctor.data import NO_TRAIN_SPLIT
from distil.doctor.evidence import Evidence
from distil.doctor.finding import Cure, Finding, cure, ok
from distil.final_answer import are_labels
from distil.records import Example
from distil.text import answer_key, one_line, parse_answer

SHARE = 0.01
"""Share of the training rows from which a fault is worth a warning; from five times as many it is a problem."""
BADLY = 5 * SHARE
LEAST = 2
"""Rows that a fault has at least."""
EXPECTS_JSON = 0.5
"""Share of JSON among the answers to one kind of prompt from which the others of that kind are broken."""
ONE_ANSWER = 0.9
"""Share of the training rows that have one answer, from which the others may not be learned."""
OTHER_SHARE = 0.2
"""How much more frequent an answer is in training than in the test split, to be another task."""
LEAST_OTHERS = 50
"""Rows with other answers from which a rare label can be learned."""


def blank_or_broken(evidence: Evidence) -> Finding:
    """Answers without a text, and text that is not JSON where the answers to such prompts are."""
    train = evidence.split("train")
    if not train:
        return NO_TRAIN_SPLIT
    pairs = evidence.pairs("train")
    corpus = describe_corpus(pairs)
    blank = [at for at, pair in enumerate(pairs) if not pair.answer.text.strip() and not pair.answer.tool_calls]
    broken = [
        at
        for at, (prompt, answer) in enumerate(pairs)
        if answer.text.strip()
        and not answer.tool_calls
        and parse_answer(answer.text) is None
        and corpus.json_share >= EXPECTS_JSON
        and (answer.text.lstrip()[:1] in ("{", "[") or corpus.json_share_at(prompt) >= EXPECTS_JSON)
    ]
    seen = f"{len(blank):,} of {len(train):,} training answers are blank, {len(broken):,} are not JSON where the others are"
    if broken:
        seen += f" (such as {one_line(pairs[broken[0]].answer.text, 80)})"
    count = len(blank) + len(broken)
    if count < LEAST or count <= SHARE * len(train):
        return ok(f"{seen}.")
    return Finding(
        level="problem" if count > BADLY * len(train) else "warn",
        seen=f"{seen}.",
        why="The student learns to answer nothing, or what no program can read.",
        cure=cures.default_filter(evidence.config, "empty" if blank else "invalid_json"),
    )


def one_answer_for_all(evidence: Evidence) -> Finding:
    """One answer that nearly all training rows have. Rare labels are not a fault if there are enough, and as many in test."""
    train, test = evidence.split("train"), evidence.split("test")
    if len(train) < LEAST_OTHERS:
        return NO_TRAIN_SPLIT if not train else ok(f"{len(train):,} training rows are too few to say.")
    answer, count = _top(train)
    share, others = count / len(train), len(train) - count
    seen = f"{share:.1%} of {len(train):,} training answers are {one_line(answer, 80)!r}"
    if share < ONE_ANSWER:
        return ok(f"{seen}, the most frequent one.")
    in_test = sum(answer_key(example.answer) == answer_key(answer) for example in test) / len(test) if test else None
    if in_test is not None:
        seen += f", and {in_test:.1%} of the test answers"
    labels = are_labels([example.answer for example in train])
    if in_test is not None and share - in_test > OTHER_SHARE:
        why = "Training shows another task than the test: the student learns to say one thing."
        return Finding(level="problem", seen=f"{seen}.", why=why, cure=_collect_again(evidence))
    if not labels and in_test != 1:
        why = "They are not labels of a classification: the student learns to say one thing whatever it is asked."
        return Finding(level="problem", seen=f"{seen}.", why=why, cure=_collect_again(evidence))
    if others >= LEAST_OTHERS:
        return ok(f"{seen}; {others:,} rows have others, enough to learn them.")
    why = f"Only {others:,} rows have another answer. A student that always says the frequent one looks right."
    return Finding(level="warn", seen=f"{seen}.", why=why, cure=cures.more_examples(evidence, 1_000))


def _collect_again(evidence: Evidence) -> Cure:
    config = evidence.config
    advice = "Look at the answers first: `distil view answers`."
    if config is None or config.curate.balance is not None:
        return cure(commands=["distil collect --rebuild", "distil curate"], advice=advice)
    return cure({"curate.balance": "label"}, ["distil collect --rebuild", "distil curate"], advice)


def _top(examples: Sequence[Example]) -> tuple[str, int]:
    """The most frequent answer, as it is written first, and how often it is given."""
    keys = Counter(answer_key(example.answer) for example in examples)
    key, count = keys.most_common(1)[0]
    return next(example.answer for example in examples if answer_key(example.answer) == key), count


def contradicting_rows(evidence: Evidence) -> Finding:
    """Training rows that ask the same and come to something else."""
    train = evidence.split("train")
    if not train:
        return NO_TRAIN_SPLIT
    pairs = evidence.pairs("train")
    found = contradictions.find(pairs, describe_task(pairs))
    count = sum(len(each.rows) for each in found)
    seen = f"{count:,} of {len(train):,} training rows ask what another row answers differently"
    if found:
        first = found[0]
        prompt = pairs[first.rows[0]].prompt
        seen += f" ({one_line(prompt.messages[-1].text, 60)!r}: {', '.join(dict.fromkeys(first.shown))})"
    config = evidence.config.curate if evidence.config is not None else None
    wanted = config is not None and (config.contradictions == "keep" or config.choose in ("votes", "all"))
    if wanted or count < LEAST or count <= SHARE * len(train):
        return ok(f"{seen}{', which the settings ask for' if wanted and count else ''}.")
    return Finding(
        level="problem" if count > BADLY * len(train) else "warn",
        seen=f"{seen}.",
        why="No student can learn both: it learns to guess between them.",
        cure=cure(
            {} if config is None or config.contradictions == "majority" else {"curate.contradictions": "majority"},
            ["distil curate"],
            "Of such rows those of the majority stay, or of a tie the first.",
        ),
    )


def another_language(evidence: Evidence) -> Finding:
    """Answers in another language than their prompt, which names no language."""
    train = evidence.split("train")
    if not train:
        return NO_TRAIN_SPLIT
    pairs: Sequence[Pair] = evidence.pairs("train")
    compared, other = other_languages(pairs)
    seen = f"{len(other):,} of {compared:,} training answers in clear prose are in another language than their prompt"
    if other:
        seen += f", such as: {other[0][1]}"
    usual = compared and len(other) > 0.5 * compared
    if usual or len(other) < LEAST or len(other) <= SHARE * len(train):
        return ok(f"{seen}{', which is the task' if usual else ''}.")
    return Finding(
        level="problem" if len(other) > BADLY * len(train) else "warn",
        seen=f"{seen}.",
        why="The student learns to change the language on its own.",
        cure=cures.default_filter(evidence.config, "wrong_language"),
    )
