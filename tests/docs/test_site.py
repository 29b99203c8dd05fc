"""The site builds without a warning, loads nothing from elsewhere, and has every page; links and anchors lead somewhere."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag

import pytest
from click import Option

from distil.config import load_config
from distil.config_file import flat_settings
from distil.runs.artifacts import Project
from tools.docs import commands, settings, site

ROOT = Path(__file__).parents[2]


class Page(HTMLParser):
    """The links, anchors and loaded addresses of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = {""}
        self.loaded: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.anchors |= {found[name] for name in ("id", "name") if name in found}
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        loads = "href" if tag == "link" else "src"
        if loads in found and found.get("rel") != "canonical":
            self.loaded.append(found[loads])


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("zensical", reason="the site is built with zensical: pip install 'distil[docs]'")
    folder = tmp_path_factory.mktemp("site")
    assert site.build(folder) == 0
    return folder / "site"


@pytest.fixture(scope="module")
def pages(built: Path) -> dict[Path, Page]:
    return {path: Page(path.read_text(encoding="utf-8")) for path in built.rglob("*.html")}


def test_every_link_and_anchor_leads_somewhere(built: Path, pages: dict[Path, Page]) -> None:
    for path, page in pages.items():
        for link in page.links:
            if path.name == "404.html" or re.match(r"https?:|mailto:|javascript:", link):
                continue
            address, anchor = urldefrag(unquote(link))
            to = (path.parent / address).resolve() if address else path
            to = to / "index.html" if to.is_dir() else to
            assert to.exists(), f"{path.relative_to(built)} links to {link}"
            if to in pages:
                assert anchor in pages[to].anchors, f"{path.relative_to(built)} links to {link}"


def test_a_reader_loads_nothing_from_elsewhere(built: Path, pages: dict[Path, Page]) -> None:
    loaded = {address for page in pages.values() for address in page.loaded}
    assert len(loaded) > 3 and [address for address in loaded if re.match(r"(https?:)?//", address)] == []
    for sheet in built.rglob("*.css"):
        assert not re.search(r"(@import|url\()\s*['\"]?(https?:)?//", sheet.read_text(encoding="utf-8")), sheet


def test_every_page_is_in_the_navigation_once() -> None:
    listed = [page for _, _, page in site.navigation()]
    written = [str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")]
    assert sorted(page for page in listed if (ROOT / "docs" / page).exists()) == sorted(written)
    assert len(listed) == len(set(listed))


def test_llms_txt_lists_every_page_as_markdown(built: Path) -> None:
    text = (built / "llms.txt").read_text(encoding="utf-8")
    entries = re.findall(r"^- \[(.+?)\]\((.+?)\): (.+)$", text, re.MULTILINE)
    assert [page for _, page, _ in entries] == [page for _, _, page in site.navigation()]
    assert all((built / page).exists() for _, page, _ in entries)
    assert [page for _, page, sentence in entries if len(sentence) < 20] == []


def test_the_reference_has_every_option_and_key(tmp_path: Path) -> None:
    page = commands.page()
    for words, command in commands.commands():
        assert f"#distil-{words.replace(' ', '-')} }}" in page
        options = [p for p in command.params if isinstance(p, Option) and p.name not in commands.SHARED]
        assert all(option.opts[0] in page and option.help for option in options), words
    keys = set(re.findall(r"^### `(.+?)`", settings.page(), re.MULTILINE))
    (tmp_path / "distil.yaml").write_text(
        "prompts: {path: p}\nteachers: [{model: bundled/teacher}]\n", encoding="utf-8"
    )
    assert set(flat_settings(load_config(Project(tmp_path)))) <= keys
