"""How many examples to aim at, with the evidence: the article's range, the labels in the data, and the learning curve."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from distil.config import Config
from distil.plan.method import ADVISED_EXAMPLES
from distil.progress import dollars
from distil.records import Prompt
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_document
from distil.runs.schemas.learning_curve import LearningCurve

MIN_EXAMPLES = 1_000
"""The article's range begins here and ends at ADVISED_EXAMPLES."""
MOST_LABELS, LONGEST_LABEL = 300, 60
"""More or longer references than this are answers, not labels."""
PER_LABEL = 50
"""Examples of each label to aim at; fewer leave rare ones unlearned (OpenAI's guide to fine-tuning asks for 50 to 100)."""


def how_many(project: Project, config: Config, prompts: Sequence[Prompt]) -> tuple[int, str]:
    """(examples to aim at, the evidence in a sentence or two)."""
    target = MIN_EXAMPLES
    said = [f"the article advises {MIN_EXAMPLES:,} to {ADVISED_EXAMPLES:,}"]
    labels = labels_of(prompts)
    if labels:
        target = max(target, min(PER_LABEL * len(labels), ADVISED_EXAMPLES))
        rarest, count = min(labels.items(), key=lambda item: item[1])
        said.append(
            f"your prompts have {len(labels):,} labels, the rarest ({rarest!r}) {count:,} times: {PER_LABEL} of each are "
            f"{PER_LABEL * len(labels):,}"
        )
    file = project.learning_curve / "curve.json"
    if file.exists():
        curve = read_document(file, LearningCurve, command="distil curate --learning-curve")
        said.append(f"your learning curve: {curve.verdict}")
    else:
        said.append("once answers are there, `distil curate --learning-curve` measures whether more would help")
    usable = int((len(prompts) - config.curate.test) * (1 - config.curate.validation))
    return (
        target,
        f"aim at {max(target, MIN_EXAMPLES):,} for training, and you have {max(0, usable):,}: {'; '.join(said)}",
    )


def labels_of(prompts: Sequence[Prompt]) -> dict[str, int]:
    """Reference -> how often, where the references are labels: short ones that repeat. Empty where they are not."""
    counts = Counter(prompt.reference for prompt in prompts if prompt.reference is not None)
    total = sum(counts.values())
    if total < 20 or not 2 <= len(counts) <= min(MOST_LABELS, total // 2):
        return {}
    return dict(counts) if all(len(label) <= LONGEST_LABEL for label in counts) else {}


def data_advice(prompts: Sequence[Prompt], config: Config, usd: float | None, target: int) -> list[str]:
    """What is missing, and the command that writes it."""
    usable = len(prompts) - config.curate.test
    if usable >= target:
        return []
    price = f" At this price, {target:,} cost about {dollars(usd / len(prompts) * target)}." if usd and prompts else ""
    return [
        f"{len(prompts):,} prompts, of which {config.curate.test} are held out: aim at {target:,}.{price} `distil prompts expand "
        f"--count {max(target - usable, 100)}` writes more like them."
    ]
