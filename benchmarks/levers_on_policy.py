"""What helps on-policy training? Each repair alone, beside plain on-policy training, at equal steps, over several seeds.

    python benchmarks/levers_on_policy.py --dir FOLDER [--seeds 3] [--arms plain jsd ...]

The bundled models. Of 1,000 prompts the teacher answers 300. Per seed one student learns those by SFT; each arm continues from it
for 40 steps of 16 prompts at one learning rate (dpo: a fifth). On-policy, the student writes all texts without an answer and
half of the others. Two arms make all 100 steps in one training, with and without `sft_epochs`. Scored: the share of fields of
the greedy answer that are the teacher's own, on 400 messages with held-out wording. Resumes.
"""

from __future__ import annotations

from arms import Table, compare, difference, parser
from methods import ensure, prepare, some_answered
from triage_measure import scored

from distil.config import load_config
from distil.runs.artifacts import Project

ANSWERED, PROMPTS, MESSAGES, BATCH, STEPS = 300, 1000, 400, 16, 40
ON_POLICY = ["train.method=on_policy", "train.temperature=1.0", "train.rollout_unanswered=true"]
JSD = [*ON_POLICY, "train.divergence=jsd"]
REVERSE = [*ON_POLICY, "train.divergence=reverse_kl"]
FROM_BASE = ["student.model=bundled/student", "train.epochs=1.703", "train.learning_rate=2e-3"]  # 100 steps
ARMS: dict[str, list[str]] = {
    "SFT, as many steps": [],
    "plain": REVERSE,
    "jsd": JSD,
    "untouched settings": ["train.method=on_policy", "train.rollout_unanswered=true"],
    "forward KL where unsure": [*REVERSE, "train.forward_kl_above=0.8"],
    "teacher's top 32": [*REVERSE, "train.teacher_top_k=32", "train.rollout_top_p=0.9"],
    "special tokens masked": [*REVERSE, "train.mask_special_tokens=true"],
    "written together": [*REVERSE, "train.rollout_teacher_top_k=25"],
    "dpo": ["train.method=dpo", "train.learning_rate=2e-4"],
    "by source": [*ON_POLICY, "train.divergence=skew_kl", "train.divergence_on_policy=skew_reverse_kl"],
    "jsd, from the base": [*JSD, *FROM_BASE],
    "jsd, from the base, SFT first": [*JSD, *FROM_BASE, "train.sft_epochs=1.021"],
}
"""name -> settings of the train section."""


def trained(project: Project, arm: str, seed: int) -> str:
    """The name of the arm's student, which continues from the SFT student of this seed."""
    start = f"start-{seed}"
    ensure(project, load_config(project, [f"train.seed={seed}"]), "train", start)
    if arm == "start":
        return start
    rows = sum(1 for _ in project.split("train").open(encoding="utf-8"))
    rows += PROMPTS - ANSWERED if ON_POLICY[0] in ARMS[arm] else 0
    name = f"{arm.replace(' ', '-').replace(',', '').replace(chr(39), '')}-{seed}"
    settings = [
        f"student.model={project.model(start).resolve()}", f"train.seed={100 + seed}", "train.learning_rate=1e-3",
        f"train.epochs={STEPS * BATCH / rows:.4f}", *ARMS[arm],
    ]  # fmt: skip
    ensure(project, load_config(project, settings), "train", name)
    return name


def main() -> None:
    """Trains what is missing and prints the tables."""
    options_parser = parser(__doc__)
    options_parser.add_argument("--arms", nargs="*", choices=list(ARMS), default=list(ARMS))
    options = options_parser.parse_args()
    project = Project(options.dir)
    some_answered(project, prepare(project, PROMPTS, 0, batch_size=BATCH, validation_examples=0), ANSWERED)

    def measure(arm: str, seed: int) -> list[float]:
        return scored(project, trained(project, arm, seed), MESSAGES)

    tables: dict[str, Table] = compare(["start", *options.arms], measure, seeds=options.seeds, base="plain")
    if "jsd" in tables:
        print("\nAgainst `jsd`:")
        for arm, table in tables.items():
            print(f"{arm}: {difference(table, tables['jsd']).points()}")


if __name__ == "__main__":
    main()
