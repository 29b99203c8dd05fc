"""docs/doctor.md has every check, and its thresholds are those of the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from distil.doctor import answers, checks, consistency, course, data, leaks, model_files, rows, sameness, training
from distil.serve.live import report

PAGE = (Path(__file__).parents[2] / "docs" / "doctor.md").read_text(encoding="utf-8")
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line.startswith("| ")]

NUMBERS: dict[str, list[str]] = {
    "too few examples": [f"{data.MIN_EXAMPLES:,}", f"PROBLEM under {data.MIN_EXAMPLES // 5}"],
    "small test set": [f"under {data.MIN_TEST}"],
    "suspicious answers": [f"over {data.SUSPICIOUS_SHARE:.0%}"],
    "answers against their references": [f"over {answers.WRONG:.0%}"],
    "wrong labels": [f"over {answers.SHARE:.0%}"],
    "contradictions in the training data": [f"over {rows.SHARE:.0%}", f"over {rows.BADLY:.0%}"],
    "blank or broken answers": [f"over {rows.SHARE:.0%}", f"over {rows.BADLY:.0%}"],
    "one answer for all": [
        f"{rows.ONE_ANSWER:.0%} of the rows",
        f"{100 * rows.OTHER_SHARE:.0f} points",
        f"fewer than {rows.LEAST_OTHERS} rows",
    ],
    "answers in another language": [f"{rows.SHARE:.0%} of the rows", f"over {rows.BADLY:.0%}"],
    "the teacher contradicts itself": [
        f"{consistency.OFTEN:.0%} of at least {consistency.LEAST} prompts",
        f"from {consistency.VERY_OFTEN:.0%}",
    ],
    "leakage between the splits": [
        f"{leaks.NEAR}",
        f"{leaks.MOST_OF}",
        f"over {leaks.SHARE:.0%}",
        f"at least {leaks.LEAST}",
        f"over {leaks.CONTAINED:.0%}",
    ],
    "a tokenizer of another language": [f"{model_files.TOKENS_PER_BYTE}", f"PROBLEM from {model_files.FAR_TOO_MANY}"],
    "unfinished trainings": [f"{training.NEARLY_ALL:.0%}"],
    "the loss": [
        f"{course.FALL:.0%}",
        f"{course.LITTLE} times",
        f"{course.RETURNED:.0%}",
        f"{course.RETURNED_TIMES} times",
        f"{course.RETURNED_ALONE:.0%} if it is {course.RETURNED_LEAST} times",
        f"{course.NOISE:.0f} standard errors",
        f"{course.SPIKE:.0f} times",
        f"{course.SPIKE_PART:.0%} of what was learned",
        f"norm {course.GRADIENT:.0f}",
    ],
    "the learning rate": [
        f"{course.ABOVE_START} times",
        f"{course.BLOWN_UP} times",
        f"pace of {course.PACE}",
        f"{training.FAR_RATE:.0f} times",
    ],
    "trained too short": [f"{course.PACE}"],
    "overfitting": [f"{training.OVERFIT}", f"PROBLEM from {training.OVERFIT_BADLY}"],
    "always the same answer": [
        f"{sameness.ALWAYS:.0%}",
        f"{sameness.MISSED:.0%}",
        f"at least {sameness.LEAST_OTHERS} prompts",
    ],
    "invented words": [
        f"{100 * sameness.INVENTS:.0f} points",
        f"PROBLEM {100 * sameness.INVENTS_MUCH:.0f}",
        f"{sameness.RATIO} times",
        f"{sameness.SURE:.0f} standard errors",
    ],
    "requests like the labels": [f"{100 * report.FAR:.0f} points", f"{report.ENOUGH} requests"],
}


def test_every_check_is_on_the_page_and_no_other() -> None:
    named = [name.strip() for row in ROWS if row[0] != "check" for name in row[0].split(";")]
    assert set(named) == set(checks.CHECKS)


@pytest.mark.parametrize("check", NUMBERS)
def test_the_thresholds_of_the_page_are_those_of_the_code(check: str) -> None:
    text = " ".join(" ".join(row) for row in ROWS if row[0] == check)
    missing = [number for number in NUMBERS[check] if not re.search(rf"(?<![\d.]){re.escape(number)}", text)]
    assert missing == []


def test_the_shortest_trainings_are_those_of_the_code() -> None:
    assert f"Below {course.FEWEST_STEPS} steps" in PAGE and f"below {course.FEWEST_LINES} lines" in PAGE
