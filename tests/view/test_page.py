"""The page in a real Chromium: keys mark, edits are kept, a model's text stays text, and it can be read on all screens."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from distil.curate.config import CurateConfig
from distil.curate.stage import run
from distil.runs.artifacts import Project
from distil.runs.marks import read_marks
from tests.curate.material import answer, distinct_text, project_with, prompt
from tests.report.chrome import Browser, Tab, open_browser

pytestmark = pytest.mark.browser
LOOK = (Path(__file__).parent.parent / "report" / "look.js").read_text(encoding="utf-8")
HOSTILE = "<img src=x onerror='document.title=\"hit\"'> \u202etxet \x1b[31mred"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with open_browser(tmp_path_factory.mktemp("chrome")) as found:
        yield found


@pytest.fixture
def project(tmp_path: Path) -> Project:
    asked = [prompt(distinct_text(n)) for n in range(40)]
    answers = [answer(p, f"{t} says {distinct_text(n)}", teacher=t) for n, p in enumerate(asked) for t in ("a", "b")]
    answers[0] = answer(asked[0], HOSTILE, teacher="a")
    answers[2] = answer(asked[1], "I'm sorry, but I can't help with that.", teacher="a")
    made = project_with(tmp_path, asked, answers)
    run(made, CurateConfig(test=5))
    return made


@pytest.fixture
def address(project: Project) -> Iterator[str]:
    command = [sys.executable, "-m", "distil", "view", "--page", "--project", str(project.root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        found = re.search(r"http://\S+", process.stdout.readline())
        assert found is not None
        yield found[0]
        process.terminate()


def chosen(tab: Tab) -> str:
    return str(tab.run("document.querySelector('.answer-card.chosen').dataset.answer"))


def test_keys_mark_edit_and_undo(browser: Browser, address: str, project: Project) -> None:
    with browser.page(address) as tab:
        tab.wait("document.querySelectorAll('.answer-card').length === 2")
        first = chosen(tab)
        tab.press("b")
        tab.wait("document.querySelector('.answer-card.chosen .chip.bad').getAttribute('aria-pressed') === 'true'")
        tab.press("n")
        tab.wait(f"document.querySelector('.answer-card.chosen').dataset.answer !== '{first}'")
        second = chosen(tab)
        tab.press("e")
        tab.wait("document.activeElement.tagName === 'TEXTAREA'")
        tab.run("document.activeElement.value = 'my own words'")
        tab.run("document.querySelector('.editor .chip').click()")
        tab.wait("document.querySelector('.mine')?.textContent.includes('my own words')")
        marks = read_marks(project.marks)
        assert (marks[first].mark, marks[second].mark, marks[second].text) == ("bad", "edited", "my own words")
        tab.press("u")
        tab.wait(
            "document.getElementById('status').textContent.startsWith('Taken back') || !document.querySelector('.mine')"
        )
        tab.wait("!document.querySelector('.mine')")
        assert set(read_marks(project.marks)) == {first}


def test_facets_and_search_narrow_the_list(browser: Browser, address: str) -> None:
    with browser.page(address) as tab:
        tab.wait("document.getElementById('status').textContent === '40 prompts'")
        tab.run(
            "[...document.querySelectorAll('.facets .chip')].find((c) => c.textContent.startsWith('refusal')).click()"
        )
        tab.wait("document.getElementById('status').textContent === '1 of 40 prompts'")
        assert "refusal" in tab.run("document.querySelector('#list .row').textContent")
        tab.press("Escape")
        tab.wait("document.getElementById('status').textContent === '40 prompts'")


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (1280, True), (390, False)])
def test_the_page_is_readable_and_texts_stay_texts(browser: Browser, address: str, width: int, dark: bool) -> None:
    with browser.page(address, width=width, dark=dark) as tab:
        tab.wait("document.querySelectorAll('.answer-card').length === 2")
        if width < 500:
            tab.run("document.querySelector('#list .row').click()")
            tab.wait("document.getElementById('reader').getBoundingClientRect().width > 200")
        assert tab.run("document.title").endswith("Distil view")
        assert tab.run("document.querySelectorAll('#reader img').length") == 0
        assert "U+" in tab.run("document.querySelector('.answer-card .unseen').title")
        assert tab.run(f"(() => {{ {LOOK}; return weakTexts(); }})()") == []
        assert tab.run("document.documentElement.scrollWidth <= innerWidth")
        own = address.partition("#")[0]
        assert [said for said in tab.complaints() if not said.startswith(f"request to {own}")] == []
