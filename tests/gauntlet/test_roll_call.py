"""Every public report of the list has a test: its source is named where it is tried."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
SOURCES = {
    1: "LLaMA-Factory 9392",
    2: "OpenRLHF 1080",
    3: "sglang 40082",
    4: "sglang 3296",
    7: "perf_analyzer 433",
    8: "bifrost 5425",
    9: "nodetool 5755",
    10: "sub2api 5771",
    11: "promptfoo 9507",
    13: "codex-lb 2037",
    14: "adk-python 5643",
    15: "ragas 1658",
    16: "lm-eval 4070",
    17: "deepeval 3166",
    18: "deepeval 3164",
    20: "ragflow 19179",
    21: "copilot-sdk 2061",
    23: "evalscope 1578",
    24: "OpenViking 3984",
    25: "Qwen3 1894",
    26: "autocontext 1050",
    27: "skills 1394",
    28: "any-llm 847",
    29: "kaapi 723",
    30: "litellm 34732",
}
"""Number in the list of reports -> repository and issue. The other numbers are not in the list."""


@pytest.fixture(scope="module")
def tried() -> str:
    """All tests as one text, with whatever joins a repository to its number as one blank."""
    texts = [path.read_text(encoding="utf-8") for path in TESTS.rglob("test_*.py") if path.name != Path(__file__).name]
    return re.sub(r"(?: ?PR)? ?#|/issues/|_(?=\d)", " ", "\n".join(texts))


@pytest.mark.parametrize("number", SOURCES)
def test_the_report_is_tried(number: int, tried: str) -> None:
    repository, issue = SOURCES[number].rsplit(" ", 1)
    assert re.search(rf"{re.escape(repository)} {issue}(?!\d)", tried), (
        f"no test names {SOURCES[number]} (report {number})"
    )
