"""docs/metrics.md says of every metric what the table says, and its example works."""

from __future__ import annotations

import re
from pathlib import Path

from distil.evaluate.metrics import DECIDING, GUARDS, METRICS, Case, chosen, function
from distil.evaluate.metrics.table import BUILT_IN

PAGE = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")
BETTER = {"higher": "higher is better", "lower": "lower is better", "one": "nearer to 1"}
ROW = re.compile(r"^\| `(\w+)` \| (\w+) \| (.+) \| (.+) \|$", re.MULTILINE)


def _rows(heading: str) -> dict[str, tuple[str, str]]:
    part = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    return {name: (against, value) for name, against, _, value in ROW.findall(part)}


def test_every_metric_is_described_where_it_belongs() -> None:
    deciding, guards, further = (_rows(heading) for heading in ("What can decide", "Guards", "Further metrics"))
    assert tuple(deciding) == DECIDING and tuple(guards) == GUARDS
    assert set(further) == BUILT_IN - set(DECIDING) - set(GUARDS)
    for name, (against, value) in (deciding | guards | further).items():
        assert against == METRICS[name].against, name
        if name in further:
            assert BETTER[METRICS[name].better] in value, name


def test_the_example_of_an_own_metric_works(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(PAGE.split("```python\n")[1].split("```")[0], encoding="utf-8")
    try:
        assert chosen(["mine.py:brevity"], tmp_path) == ["brevity"]
        assert function("brevity")(
            [Case("", "ab", "a", None), Case("", "a", "ab", None), Case("", "a", None, None)]
        ) == [0, 1, None]
    finally:
        METRICS.pop("brevity", None)
