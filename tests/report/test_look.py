"""What an eye finds, in a real Chromium: contrast, clipped and overlapping texts on desktop, phone and paper, light and dark."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from distil.report import page
from distil.runs.artifacts import Project
from distil.runs.jsonl import write_json
from tests.report.chrome import Browser, Tab, open_browser
from tests.report.sample import calibration, make_project, write_cost

pytestmark = pytest.mark.browser
CHECKS = (Path(__file__).parent / "look.js").read_text(encoding="utf-8")
SCROLLERS = ".scroll, #explorer, nav"
AXE_VERSION = "4.10.3"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with open_browser(tmp_path_factory.mktemp("chrome")) as found:
        yield found


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = make_project(tmp_path_factory.mktemp("look") / "p", train=400, test=150)
    write_cost(project)
    write_json(project.calibration("logits"), calibration("logits").model_dump(mode="json"))
    return project


@pytest.fixture(scope="module")
def built(project: Project) -> str:
    return page.build(project).as_uri()


@pytest.fixture(scope="module")
def undecided(tmp_path_factory: pytest.TempPathFactory) -> str:
    project = make_project(
        tmp_path_factory.mktemp("few") / "p", train=40, test=34, students=("sft",), right={"sft": 0.96}
    )
    return page.build(project).as_uri()


def check(tab: Tab, call: str) -> list[str]:
    found = tab.run(f"(() => {{ {CHECKS}; return {call}; }})()")
    assert isinstance(found, list)
    return found


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_texts_are_readable_whole_and_apart(browser: Browser, built: str, width: int, dark: bool) -> None:
    with browser.page(built, width=width, dark=dark) as tab:
        tab.run("document.querySelectorAll('details:not(.popup)').forEach((fold) => { fold.open = true; })")
        assert check(tab, "weakTexts()") == []
        assert check(tab, f"clipped('{SCROLLERS}')") == []
        assert check(tab, "collisions()") == []
        assert check(tab, "nameless()") == []
        assert tab.complaints() == []


@pytest.mark.parametrize("chosen", ["", "dark"], ids=["system", "dark-by-button"])
def test_paper_is_light_and_nothing_is_cut(browser: Browser, built: str, chosen: str) -> None:
    with browser.page(built, width=688, dark=True) as tab:  # A4 without its margins
        if chosen:
            tab.run(f"document.documentElement.dataset.theme = '{chosen}'")
        tab.media("print", dark=True)
        assert check(tab, "weakTexts()") == []
        assert check(tab, "clipped(null)") == []
        assert check(tab, "collisions()") == []
        assert tab.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        ink = tab.run("getComputedStyle(document.querySelector('h1')).color")
        assert ink == "rgb(29, 28, 26)"


def test_the_page_prints_on_three_to_six_sheets(browser: Browser, built: str, tmp_path: Path) -> None:
    with browser.page(built) as tab:
        tab.paper(tmp_path / "page.pdf")
    sheets = len(re.findall(rb"/Type\s*/Page\b", (tmp_path / "page.pdf").read_bytes()))
    assert 3 <= sheets <= 6


def test_the_bar_lies_in_the_zone_exactly_when_it_ships(browser: Browser, built: str) -> None:
    with browser.page(built) as tab:
        word = tab.run("document.querySelector('.decision').textContent")
        zone, bar = tab.run(
            "['.zone', '.span'].map((s) => document.querySelector('.lanes .lane ' + s).getBoundingClientRect().left)"
        )
        assert word == "SHIP"
        assert bar > zone
        seen = tab.run("document.querySelector('.verdict').getBoundingClientRect().bottom")
        assert seen < 900  # all of the verdict is on the first screen


def test_not_decided_looks_different_and_says_what_to_type(browser: Browser, undecided: str) -> None:
    with browser.page(undecided, width=390) as tab:
        assert tab.run("document.querySelector('.decision').textContent") == "NOT DECIDED"
        assert tab.run("document.querySelectorAll('.next code, .next .step').length") > 0
        assert check(tab, "weakTexts()") == []
        assert check(tab, "collisions()") == []


def test_a_name_of_a_loss_filters_the_explorer(browser: Browser, built: str) -> None:
    with browser.page(built) as tab:
        name = tab.run("document.querySelector('#losses button.name').textContent")
        tab.run("document.querySelector('#losses button.name').click()")
        assert tab.run("document.querySelector('[data-chip=extra]').textContent") == f"{name} wrong ×"
        marked = tab.run(
            "[...document.querySelectorAll('#reader .fields tbody tr')].find((r) => r.querySelector('.wrong')).textContent"
        )
        assert name in tab.run("document.querySelector('#reader .fields').textContent") and marked
        assert "of 150 prompts" in tab.run("document.getElementById('status').textContent")


def test_a_confusion_opens_as_many_prompts_as_it_counts(browser: Browser, built: str) -> None:
    with browser.page(built) as tab:
        chips = tab.run(
            "[...document.querySelectorAll('#losses .chip')].map((c) => c.querySelector('.count').textContent)"
        )
        assert chips
        for n, times in enumerate(chips):
            tab.run(f"document.querySelectorAll('#losses .chip')[{n}].click()")
            assert (
                tab.run("document.getElementById('status').textContent") == f"{times.removesuffix('×')} of 150 prompts"
            )


def axe() -> str:
    """The source of axe-core, from npm's cache or registry; skips the test where there is neither."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed, so axe-core can't be fetched")
    folder = Path.home() / ".cache" / "distil-tests" / f"axe-core-{AXE_VERSION}"
    source = folder / "package" / "axe.min.js"
    if not source.exists():
        folder.mkdir(parents=True, exist_ok=True)
        command = [npm, "pack", f"axe-core@{AXE_VERSION}", "--silent"]
        done = subprocess.run(command, cwd=folder, capture_output=True, timeout=120, check=False)
        if done.returncode != 0:
            pytest.skip("axe-core can't be fetched from npm")
        shutil.unpack_archive(folder / f"axe-core-{AXE_VERSION}.tgz", folder)
    return source.read_text(encoding="utf-8")


@pytest.mark.parametrize("width", [1280, 390])
def test_axe_has_no_serious_finding(browser: Browser, built: str, width: int) -> None:
    source = axe()
    with browser.page(built, width=width) as tab:
        tab.run(source)
        found = tab.run(
            "axe.run(document).then((r) => r.violations.map((v) => [v.impact, v.id, v.nodes.map((n) => n.html.slice(0, 120))]))"
        )
    assert [row for row in found if row[0] in ("serious", "critical")] == []
