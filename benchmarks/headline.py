"""How near is the bundled student to its teacher on production-like messages, before and after, for the same dollars?

    python benchmarks/headline.py --dir FOLDER [--answers 400] [--seeds 3] [--arms demo on-policy ...]

The bundled models. Of 4,000 logged messages the teacher answers some, once; all arms train on these answers, so that all cost the
same. Before: the demo's recipe (SFT, three epochs, batches of 8). After: further steps from that student, by the labels again
(what more time alone gives), by the teacher's distributions on its answers, or on-policy on the messages that nobody paid an
answer for. Scored on 400 messages in wordings that are not in the log: the share of fields of the greedy answer that are the
teacher's own. Resumes.
"""

from __future__ import annotations

from arms import compare, parser
from methods import ensure, prepare, some_answered
from triage_measure import scored

from distil.calls.ledger.store import Ledger
from distil.cli.demo import EXAMPLE_PRICE
from distil.config import load_config
from distil.records import Answer
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_records

PROMPTS, MESSAGES, BATCH, STEPS = 4000, 400, 8, 450
BEFORE = "the demo's recipe"
ON_POLICY = ["train.method=on_policy", "train.temperature=1.0", "train.rollout_unanswered=true", "train.divergence=jsd"]
ARMS: dict[str, list[str] | None] = {
    BEFORE: None,
    "then SFT": [],
    "then logits": ["train.method=logits", "train.temperature=1.0"],
    "then on-policy": ON_POLICY,
}
"""name -> settings of the further steps; None = none."""


def trained(project: Project, arm: str, seed: int) -> str:
    """The name of the arm's student."""
    start = f"demo-{seed}"
    ensure(project, load_config(project, [f"train.seed={seed}"]), "train", start)
    further = ARMS[arm]
    if further is None:
        return start
    rows = sum(1 for _ in project.split("train").open(encoding="utf-8"))
    if "train.rollout_unanswered=true" in further:
        rows += PROMPTS - sum(1 for _ in read_records(project.answers, Answer))
    name = f"{arm.replace(' ', '-')}-{seed}"
    settings = [
        f"student.model={project.model(start).resolve()}", f"train.seed={100 + seed}", "train.learning_rate=1e-3",
        f"train.epochs={STEPS * BATCH / rows:.4f}", *further,
    ]  # fmt: skip
    ensure(project, load_config(project, settings), "train", name)
    return name


def dollars(project: Project) -> float:
    """What the answers would cost at the demo's example price."""
    usage = Ledger(project.ledger).usage("collect")
    return (EXAMPLE_PRICE["input"] * usage.input_tokens + EXAMPLE_PRICE["output"] * usage.output_tokens) / 1e6


def main() -> None:
    """Trains what is missing and prints the table."""
    options_parser = parser(__doc__)
    options_parser.add_argument("--answers", type=int, default=400)
    options_parser.add_argument("--arms", nargs="*", choices=list(ARMS), default=list(ARMS))
    options = options_parser.parse_args()
    project = Project(options.dir / f"answers-{options.answers}")
    config = prepare(project, PROMPTS, 0, epochs=3, batch_size=BATCH, validation_examples=0)
    some_answered(project, config, options.answers)
    print(f"{options.answers:,} answers for ${dollars(project):.2f}")
    compare(
        options.arms,
        lambda arm, seed: scored(project, trained(project, arm, seed), MESSAGES),
        seeds=options.seeds,
        base=BEFORE,
    )


if __name__ == "__main__":
    main()
