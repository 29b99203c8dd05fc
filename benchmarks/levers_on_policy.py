"""What helps on-policy training? Each repair alone, beside plain on-policy training, at equal steps, over several seeds.

    python benchmarks/levers_on_policy.py --dir FOLDER [--seeds 3] [--arms plain jsd ...]

The bundled models. Of 1,000 prompts the teacher answers 300. Per seed one student learns those by SFT; each arm continues from it
for 40 steps of 16 prompts at one learning rate (dpo: a fifth). On-policy, the student writes all texts without an answer and
half of the others. Scored: the share of fields of the greedy answer that are the teacher's own, on 400 messages with held-out
wording. Resumes.
"""

from __future__ import annotations

from functools import cache

from arms import Table, compare, difference, parser
from methods import ensure
from triage_measure import GREEDY, Judge, field_shares

from distil.bundled.triage import SYSTEM, write_prompts
from distil.collect import stage as collect
from distil.config import Config, load_config, parse_config
from distil.config_file import write_config
from distil.models.generate import generate
from distil.models.load import load
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_json, write_json

ANSWERED, PROMPTS, MESSAGES, BATCH, STEPS = 300, 1000, 400, 16, 40
ON_POLICY = ["train.method=on_policy", "train.temperature=1.0", "train.rollout_unanswered=true"]
REVERSE = [*ON_POLICY, "train.divergence=reverse_kl"]
ARMS: dict[str, list[str]] = {
    "SFT, as many steps": [],
    "plain": REVERSE,
    "jsd": [*ON_POLICY, "train.divergence=jsd"],
    "forward KL where unsure": [*REVERSE, "train.forward_kl_above=0.8"],
    "teacher's top 32": [*REVERSE, "train.teacher_top_k=32", "train.rollout_top_p=0.9"],
    "special tokens masked": [*REVERSE, "train.mask_special_tokens=true"],
    "written together": [*REVERSE, "train.rollout_teacher_top_k=25"],
    "dpo": ["train.method=dpo", "train.learning_rate=2e-4"],
    "by source": [*ON_POLICY, "train.divergence=skew_kl", "train.divergence_on_policy=skew_reverse_kl"],
}
"""name -> settings of the train section."""


def prepared(project: Project) -> Config:
    """Answers to the first prompts, curated."""
    if not project.config.exists():
        config = parse_config(
            {
                "prompts": {"path": "prompts.jsonl", "system": SYSTEM},
                "teachers": [{"model": "bundled/teacher", "sampling": {"temperature": 0.7, "max_tokens": 80}}],
                "curate": {"test": 0},
                "student": {"model": "bundled/student"},
                "train": {"epochs": 4, "learning_rate": 2.0e-3, "batch_size": BATCH, "validation_examples": 0},
            },
            "levers",
        )
        project.root.mkdir(parents=True, exist_ok=True)
        write_prompts(project.root / "prompts.jsonl", train=PROMPTS, test=0, unseen=0)
        project.config.write_text(write_config(config), encoding="utf-8")
    config = load_config(project)
    ensure(project, config, "prompts")
    if not project.answers.exists():
        collect.run(project, config.collect, config.teachers, limit=ANSWERED)
    ensure(project, config, "curate")
    return config


@cache
def judge() -> Judge:
    """The messages and the teacher's answers to them."""
    return Judge(MESSAGES, "test")


def scored(project: Project, name: str) -> list[float]:
    """Share of the teacher's fields in each answer of a trained student; kept beside it."""
    path = project.root / "scored" / f"{name}.json"
    if not path.exists():
        student = load(str(project.model(name)), dtype="float32", device="cpu")
        said = [answer.text for answer in generate(student, judge().prompts, GREEDY)]
        write_json(path, {"shares": field_shares(said, judge().answers)})
    return [float(share) for share in read_json(path)["shares"]]


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
    prepared(project)

    def measure(arm: str, seed: int) -> list[float]:
        return scored(project, trained(project, arm, seed))

    tables: dict[str, Table] = compare(["start", *options.arms], measure, seeds=options.seeds, base="plain")
    if "jsd" in tables:
        print("\nAgainst `jsd`:")
        for arm, table in tables.items():
            print(f"{arm}: {difference(table, tables['jsd']).points()}")


if __name__ == "__main__":
    main()
