"""The page's server: for this machine and whoever has the key, loud about nonsense, and what it marks is in the file."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient, TestServer

from distil.curate.config import CurateConfig
from distil.curate.stage import run
from distil.errors import UserError
from distil.runs.artifacts import Project
from distil.runs.marks import read_marks
from distil.view.catalog import Catalog, check_query
from distil.view.server import Page, serve
from tests.curate.material import answer, distinct_text, project_with, prompt

KEY = {"x-distil-key": "secret"}
Client = TestClient  # type: ignore[type-arg]  # generic only in aiohttp's stubs


@pytest.fixture
def project(tmp_path: Path) -> Project:
    asked = [prompt(distinct_text(n), reference="seven" if n == 0 else None) for n in range(12)]
    answers = [answer(p, f"{t} says {p.id}", teacher=t) for p in asked for t in ("big", "small")]
    answers[4] = answer(asked[2], "I'm sorry, but I can't help with that.", teacher="big")
    made = project_with(tmp_path, asked, answers)
    run(made, CurateConfig(test=3))
    return made


def ask(project: Project, work: Callable[[Client], Awaitable[None]]) -> None:
    async def main() -> None:
        app = Page(project, Catalog(project), "secret").app()
        async with TestClient(TestServer(app, host="127.0.0.1")) as client:
            await work(client)

    asyncio.run(main())


def test_facets_count_what_choosing_them_would_show(project: Project) -> None:
    async def work(client: Client) -> None:
        everything = await (await client.get("/api/rows", headers=KEY)).json()
        assert (everything["total"], everything["all"]) == (12, 12)
        for facet, counts in everything["facets"].items():
            for value, count in counts.items():
                found = await (await client.get("/api/rows", params={facet: value}, headers=KEY)).json()
                assert found["total"] == count, (facet, value)
        assert everything["facets"]["dropped"]["refusal"] == 1

    ask(project, work)


def test_search_finds_prompts_and_answers(project: Project) -> None:
    catalog = Catalog(project)
    (row,) = catalog.find("SORRY can't", {}).rows
    assert row.prompt.id == catalog.rows[2].prompt.id
    assert catalog.find("seven", {}).total == 1
    assert catalog.find("nothing like it", {}).total == 0
    best = catalog.find("", {}, sort="refusal").rows[0]
    assert best.prompt.id == row.prompt.id


def test_marks_from_the_page_are_kept_and_undone(project: Project) -> None:
    async def work(client: Client) -> None:
        row = (await (await client.get("/api/rows", headers=KEY)).json())["rows"][0]
        whole = await (await client.get(f"/api/rows/{row['id']}", headers=KEY)).json()
        answer_id = whole["all_answers"][1]["id"]
        for body in ({"mark": "good"}, {"mark": "edited", "text": "my own"}):
            reply = await client.post("/api/marks", json={"answer_id": answer_id, **body}, headers=KEY)
            assert reply.status == 200
            shown = (await reply.json())["all_answers"][1]["mark"]
            assert shown["mark"] == body["mark"] == read_marks(project.marks)[answer_id].mark
        undone = await (await client.post("/api/undo", json={}, headers=KEY)).json()
        assert undone["undone"]["text"] == "my own"
        assert read_marks(project.marks)[answer_id].mark == "good"

    ask(project, work)


def test_only_who_has_the_key_reads_or_marks(project: Project) -> None:
    async def work(client: Client) -> None:
        for headers in ({}, {"x-distil-key": "guess"}, {"x-distil-key": "gu\xe9ss"}):
            assert (await client.get("/api/rows", headers=headers)).status == 403
            assert (await client.post("/api/undo", json={}, headers=headers)).status == 403
        foreign = await client.get("/", headers={"host": "evil.example:80"})
        assert foreign.status == 403 and "evil" not in await foreign.text()
        page = await client.get("/")
        assert page.status == 200 and "secret" not in await page.text()
        assert "default-src 'none'" in page.headers["content-security-policy"]

    ask(project, work)


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("/api/marks", "{", "not JSON"),
        ("/api/marks", "[1]", "not a JSON object"),
        ("/api/marks", '{"answer_id": "answer_x", "mark": "good"}', "no answer 'answer_x'"),
        ("/api/marks", '{"answer_id": "FIRST", "mark": "great"}', "field 'mark'"),
        ("/api/marks", '{"answer_id": "FIRST", "mark": "edited"}', "an edited answer"),
        ("/api/rows?offset=many", None, "expected a whole number"),
        ("/api/rows?sort=refusl", None, "Did you mean 'refusal'"),
        ("/api/rows/prompt_x", None, "no prompt 'prompt_x'"),
        ("/nothing", None, "Not Found"),
    ],
)
def test_nonsense_is_answered_in_words(path: str, body: str | None, words: str, project: Project) -> None:
    async def work(client: Client) -> None:
        first = Catalog(project).rows[0].answers[0].answer.id
        sent = None if body is None else body.replace("FIRST", first)
        reply = await (client.get(path, headers=KEY) if sent is None else client.post(path, data=sent, headers=KEY))
        assert 400 <= reply.status < 500 and words in json.loads(await reply.text())["error"]

    ask(project, work)
    assert not read_marks(project.marks)


def test_an_unknown_facet_has_a_suggestion() -> None:
    with pytest.raises(UserError, match="Did you mean 'dropped'"):
        check_query(["droped"], "")


def test_a_taken_port_is_told(project: Project) -> None:
    async def main() -> None:
        server = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)
        async with server:
            await serve(project, None, server.sockets[0].getsockname()[1], print)

    with pytest.raises(UserError, match="--port"):
        asyncio.run(main())


def test_a_project_without_answers_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="distil collect"):
        Catalog(Project(tmp_path))
