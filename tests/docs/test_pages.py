"""What the pages mention exists: files, links, and the Python in them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_the_files_and_links_of_a_page_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for path in re.findall(r"`((?:[a-z_]+/)+[a-z_]+\.py)`", text):
        assert any((base / path).exists() for base in (ROOT, ROOT / "src" / "distil")), f"{page.name} names {path}"
    for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        if re.search(r"(^|/)reference/|^llms\.txt$", link):
            continue  # written when the site is built: tests/docs/test_site.py
        assert (page.parent / link).exists(), f"{page.name} links to {link}"


def test_the_special_words_are_few() -> None:
    rows = [
        line for line in (ROOT / "docs" / "words.md").read_text(encoding="utf-8").splitlines() if line[:4] == "| **"
    ]
    assert 0 < len(rows) <= 30


def test_the_python_of_the_training_page_writes_a_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mytask").mkdir()
    config = "prompts: {path: prompts.jsonl}\nteachers: [{model: bundled/teacher}]\n"
    (tmp_path / "mytask" / "distil.yaml").write_text(config, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    assert len(blocks) == 1
    exec(compile(blocks[0], "docs/training.md", "exec"), {})
    assert (tmp_path / "job.json").exists()
