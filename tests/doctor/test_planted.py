"""The failures of the trial, planted into copies of a finished project: each is found, with its numbers and a cure that fits."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable

import pytest

from distil.config import load_config
from distil.doctor import checks
from distil.doctor.cures import closer_to_the_labels
from distil.doctor.evidence import Evidence
from distil.doctor.finding import Finding
from distil.models.sizing import GIB, Machine
from distil.runs.artifacts import Project
from tests.doctor.planted import answers, change_manifest, curve, field, keep, label, rows, run, said

CPU = Machine(cores=2, ram=24 * GIB, gpu_name=None, gpus=0, gpu_memory=0)
FALL = [0.3 + 5 * 0.985**step for step in range(10, 401, 10)]
JSON = '{"intent": "refund", "product": "phone"}'


def found(project: Project, check: str) -> Finding:
    """The worst finding of one check."""
    result = checks.CHECKS[check](Evidence(project, CPU))
    results = result if isinstance(result, list) else [result]
    return min(results, key=lambda finding: checks.ORDER[finding.level])


def test_the_finished_project_is_silent(base: Project) -> None:
    loud = [f for f in checks.run(base, CPU) if f.level in ("warn", "problem")]
    # it has fewer examples than a real one, and the statistics of 200 prompts leave guards open
    assert {f.check for f in loud} <= {"too few examples", "stale stages", "makes things up", "suspicious answers"}, (
        loud
    )


def spikes(project: Project) -> None:
    losses, norms = list(FALL), [0.5] * len(FALL)
    losses[20], norms[20] = 100 * losses[20], 950.0
    curve(project, losses, grad_norm=norms)


def duplicates_with_thanks(project: Project) -> None:
    asked = [json.loads(line) for line in project.split("test").read_text().splitlines()][::3]

    def change(number: int, line: dict[str, object]) -> None:
        if number < len(asked):
            turns = [dict(turn) for turn in asked[number]["messages"]]
            turns[-2]["content"] += " thanks"
            line["messages"] = turns

    rows(project, "train", change)


def two_answers(project: Project) -> None:
    asked = json.loads(project.split("train").read_text().splitlines()[0])["messages"][0]["content"]

    def change(number: int, line: dict[str, list[dict[str, str]]]) -> None:
        if number < 40:
            line["messages"][0]["content"] = f"{asked} ({number // 2})"
            line["messages"][-1]["content"] = '{"intent": "%s"}' % ("refund" if number % 2 else "cancel")

    rows(project, "train", change)


def half_english(project: Project) -> None:
    german = "Bitte schreiben Sie dem Kunden, dass die Lieferung seines Geräts sich um zwei Wochen verzögert."
    english = "Dear customer, we are sorry that the delivery of your device will be delayed by about two weeks."

    def change(number: int, line: dict[str, list[dict[str, str]]]) -> None:
        line["messages"][0]["content"] = f"{german} Nummer {number}."
        line["messages"][-1]["content"] = english if number % 4 == 0 else german.replace("Bitte", "Gern")

    rows(project, "train", change)


def chinese(project: Project) -> None:
    answers(project, lambda number: "请给客户写一封简短的信说明笔记本电脑的交付延迟并将在五个工作日内退款" * 2)


def other_template(project: Project) -> None:
    (project.model("sft") / "chat_template.jinja").write_text("{{ messages }}")


def killed(project: Project) -> None:
    run(project, outcome="running", host=socket.gethostname(), pid=2**22 + 1, memory=23 << 30)


def too_slow(project: Project) -> None:
    curve(project, [5.9 - 0.02 * step for step in range(40)], rates=[2e-5] * 40)
    change_manifest(project, config={"learning_rate": 2e-5})


def no_more_teacher(project: Project) -> None:
    keep(project, "teachers.0.model=openai/gpt-5-mini")


Plant = Callable[[Project], None]
PLANTED: list[tuple[str, Plant, str, str]] = [
    # check, fault, level, what the finding says
    (
        "always the same answer",
        lambda p: said(p, "sft", field("intent", "delivery")),
        "problem",
        "intent is 'delivery' on 100",
    ),
    (
        "invented words",
        lambda p: said(p, "sft", lambda n, text: text if n % 10 > 2 else field("product", "zorbulator")(n, text)),
        "problem",
        "zorbulator",
    ),
    (
        "the teacher contradicts itself",
        lambda p: said(p, "ceiling", lambda n, text: text if n % 5 > 2 else field("intent", f"{label(n)}x")(n, text)),
        "problem",
        "come to something else",
    ),
    ("leakage between the splits", duplicates_with_thanks, "problem", "67 are a training prompt up to small changes"),
    ("one answer for all", lambda p: answers(p, lambda n: JSON if n % 20 else None), "problem", "95."),
    ("contradictions in the training data", two_answers, "problem", "40 of 400 training rows"),
    (
        "blank or broken answers",
        lambda p: answers(p, lambda n: None if n % 4 else ""),
        "problem",
        "100 of 400 training answers are blank",
    ),
    (
        "blank or broken answers",
        lambda p: answers(p, lambda n: None if n % 4 else '{"intent": "ref'),
        "problem",
        "100 are not JSON",
    ),
    (
        "refusals in the training data",
        lambda p: answers(p, lambda n: None if n % 10 else "Unfortunately, I'm not able to help with that."),
        "warn",
        "40 of 400",
    ),
    (
        "refusals in the training data",
        lambda p: answers(p, lambda n: None if n % 10 else "Es tut mir leid, aber dabei kann ich Ihnen nicht helfen."),
        "warn",
        "40 of 400",
    ),
    ("answers in another language", half_english, "problem", "100 of 400"),
    ("a tokenizer of another language", chinese, "problem", "tokens of a letter"),
    ("the loss", spikes, "warn", "a gradient of norm 950 at step 210"),
    ("the loss", lambda p: curve(p, FALL[:30] + [2.6] * 10), "problem", "is 2.600 at the end"),
    ("the loss", lambda p: curve(p, [*FALL[:20], None, *FALL[21:]]), "problem", "not finite at step 210"),
    ("the loss", lambda p: curve(p, [*FALL[:20], float("nan"), *FALL[21:]]), "problem", "not finite at step 210"),
    ("the loss", lambda p: curve(p, [5.0] * 40), "problem", "from 5.000 to 5.000"),
    (
        "the learning rate",
        lambda p: curve(p, [23.0, 18.9, 12.0, *[4.7] * 37], rates=[0.3] * 40),
        "problem",
        "it reached 2",
    ),
    ("the learning rate", too_slow, "problem", "its learning rate was 2e-05, and 0.0016 fits"),
    ("trained too short", lambda p: curve(p, [5.9 - 0.1 * step for step in range(40)]), "warn", "still fell"),
    ("unfinished trainings", killed, "problem", "was killed at step 40 of 600, probably by the kernel"),
    (
        "unfinished trainings",
        lambda p: run(p, cause="memory", reason="Memory ran out while the student was trained."),
        "problem",
        "ran out of memory at step 40 of 600; it had held 20.0 of 24.0 GiB",
    ),
    (
        "unfinished trainings",
        lambda p: run(p, cause="loss", reason="The loss became nan at step 41."),
        "problem",
        "The loss became nan",
    ),
    ("unfinished trainings", lambda p: run(p, outcome="interrupted"), "warn", "was interrupted at step 40"),
    ("another template", other_template, "problem", "the chat template in its folder is not what it was trained with"),
    ("another teacher", no_more_teacher, "warn", "0 of 712 answers are of the teachers"),
    (
        "another teacher",
        lambda p: keep(p, "teachers.0.model=openai/gpt-4"),
        "warn",
        "0 of 712 answers are of the teachers",
    ),
    (
        "another teacher",
        lambda p: keep(p, "teachers.0.model=local/models/"),
        "warn",
        "0 of 712 answers are of the teachers",
    ),
    ("stale stages", lambda p: keep(p, "curate.test=100"), "warn", "settings have changed: test"),
]


@pytest.mark.parametrize(
    ("check", "plant", "level", "words"), PLANTED, ids=[f"{n}: {row[0]}" for n, row in enumerate(PLANTED)]
)
def test_a_planted_fault_is_found(copy: Project, check: str, plant: Plant, level: str, words: str) -> None:
    assert found(copy, check).level in ("ok", "unknown")
    plant(copy)
    finding = found(copy, check)
    assert (finding.level, words in finding.seen) == (level, True), finding.seen
    assert finding.why and finding.fix


def test_on_policy_from_an_untuned_model_is_found(base: Project) -> None:
    config = load_config(base, ["train.method=on_policy"])
    [finding] = [f for f in checks.run(base, CPU, config) if f.check == "an untuned start"]
    assert finding.level == "warn" and finding.cure.settings.keys() <= {"student.model", "train.sft_epochs"}
    named = load_config(base, ["train.method=on_policy", "train.sft_epochs=1"])
    assert [f.level for f in checks.run(base, CPU, named) if f.check == "an untuned start"] == ["ok"]


def test_another_loss_after_the_answers_alone_is_no_fault(copy: Project) -> None:
    """Two losses under one schedule: the second begins above where the first ended."""
    first = [0.2 + 4 * 0.9**step for step in range(20)]
    curve(copy, [*first, *(1.0 + 2 * 0.95**step for step in range(40))])
    assert found(copy, "the loss").level == "warn"
    change_manifest(copy, config={"method": "on_policy", "sft_epochs": 1.0})
    assert found(copy, "the loss").level == "ok"


def test_a_rate_of_dpo_is_judged_as_one_of_dpo(copy: Project) -> None:
    evidence = Evidence(copy, CPU)
    of_sft = evidence.fitting_rate("sft")
    change_manifest(copy, config={"method": "dpo"})
    of_dpo = Evidence(copy, CPU).fitting_rate("sft")
    assert of_sft is not None and of_dpo == pytest.approx(of_sft / 10, rel=0.05)
    assert (
        not {"train.label_weight", "train.temperature"}
        & closer_to_the_labels(Evidence(copy, CPU), "sft").settings.keys()
    )
