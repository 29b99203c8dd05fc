"""The gateway's page in a real Chromium: figures come by themselves, texts stay texts, keys mark, and all screens can read it."""

from __future__ import annotations

import asyncio
import json
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from distil.runs.artifacts import Project
from distil.runs.marks import read_marks
from distil.serve.config import ServeConfig
from distil.serve.keys import new_key
from distil.serve.stage import make_gateway
from tests.report.chrome import Browser, open_browser
from tests.serve.running import CHAT, StudentServer, chat_body, running, teacher_of
from tests.wire.openai import OpenAIServer

pytestmark = pytest.mark.browser
LOOK = (Path(__file__).parents[2] / "report" / "look.js").read_text(encoding="utf-8")
HOSTILE = "<img src=x onerror='document.title=\"hit\"'> \u202etxet \x1b[31mred"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with open_browser(tmp_path_factory.mktemp("chrome")) as found:
        yield found


@contextmanager
def serving(project: Project) -> Iterator[str]:
    """The address of a gateway on another thread."""
    address: list[str] = []
    ended = threading.Event()

    async def go() -> None:
        section = ServeConfig(engine=f"{student.url}#student", fallback="threshold", threshold=0.8)
        gateway = make_gateway(project, section, name="student", teachers=[teacher_of(teacher)])
        async with running(gateway) as session:
            address.append(str(session._base_url))
            await asyncio.to_thread(ended.wait)

    with StudentServer() as student, OpenAIServer(key=None, answer=lambda body: HOSTILE) as teacher:
        thread = threading.Thread(target=lambda: asyncio.run(go()))
        thread.start()
        while not address:
            time.sleep(0.01)
        try:
            yield address[0]
        finally:
            ended.set()
            thread.join()


def ask(address: str, text: str, key: str = "") -> None:
    headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {key}"} if key else {})
    body = json.dumps(chat_body(text)).encode()
    with urllib.request.urlopen(urllib.request.Request(address.rstrip("/") + CHAT, body, headers)) as reply:
        assert reply.status == 200


def test_it_updates_marks_and_shows_texts_as_texts(browser: Browser, tmp_path: Path) -> None:
    project = Project(tmp_path)
    with serving(project) as address:
        ask(address, f"p=0.9 {HOSTILE}")
        ask(address, f"p=0.3 first {HOSTILE}")
        with browser.page(address) as tab:
            tab.wait("document.querySelectorAll('#list .row').length === 1")
            assert "50%" in tab.run("document.getElementById('tiles').textContent")
            assert "no audit yet" in tab.run("document.getElementById('tiles').textContent")
            ask(address, f"p=0.3 second {HOSTILE}")
            tab.wait("document.querySelectorAll('#list .row').length === 2")
            assert "first" in tab.run("document.querySelector('.asked').textContent")  # what is being read stays
            tab.press("b")
            tab.wait("document.querySelector('.chip.bad')?.getAttribute('aria-pressed') === 'true'")
            assert [mark.mark for mark in read_marks(project.marks).values()] == ["bad"]
            assert tab.run("document.title") == "student: Distil gateway"
            assert tab.run("document.querySelectorAll('main img').length") == 0
            assert "U+" in tab.run("document.querySelector('.answer-card .unseen').title")
            assert [said for said in tab.complaints() if not said.startswith(f"request to {address}")] == []
        for width, dark in ((1280, True), (390, False)):
            with browser.page(address, width=width, dark=dark) as tab:
                tab.wait("document.querySelectorAll('#list .row').length === 2")
                if width < 500:
                    tab.run("document.querySelector('#list .row').click()")
                    tab.wait("document.getElementById('reader').getBoundingClientRect().width > 200")
                assert tab.run(f"(() => {{ {LOOK}; return [...weakTexts(), ...collisions()]; }})()") == []
                assert tab.run("document.documentElement.scrollWidth <= innerWidth")


def test_it_asks_for_a_key_and_keeps_it_out_of_the_address(browser: Browser, tmp_path: Path) -> None:
    key = new_key(Project(tmp_path).gateway_keys, "me", page=True)
    with serving(Project(tmp_path)) as address:
        ask(address, "p=0.3 hello", key)
        with browser.page(address) as tab:
            tab.wait("!document.getElementById('key-form').hidden")
            assert tab.run("document.getElementById('board').hidden")
            tab.run(f"document.getElementById('key').value = {key!r}")
            tab.run("document.querySelector('#key-form button').click()")
            tab.wait("document.querySelectorAll('#list .row').length === 1")
            assert key not in tab.run("location.href")
