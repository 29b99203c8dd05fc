"""A server that sends requests on to another one gets no key and no prompt there: live, for a batch, and for an upload."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from distil.calls.batch.net import Http
from distil.calls.http.redirects import redirected
from distil.calls.providers.anthropic import AnthropicProvider
from distil.calls.providers.openai import OpenAIProvider
from distil.errors import DistilError, UserError
from tests.calls.asking import ask, teacher, with_client
from tests.wire.openai import KEY, OpenAIServer
from tests.wire.server import Trouble, WireServer


class Elsewhere(WireServer):
    """Takes down whatever comes, and answers a download."""

    def routes(self) -> list[web.RouteDef]:
        async def any_(request: web.Request) -> web.Response:
            return web.Response(body=b'{"custom_id": "a"}\n')

        return [web.route("*", "/{path:.*}", any_)]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_live_request_is_not_sent_on(status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with Elsewhere() as other, OpenAIServer() as server:
        to = {"Location": f"{other.origin}/v1/chat/completions"}
        server.trouble_for = lambda seen: Trouble(status, b"", headers=to)
        with pytest.raises(UserError) as caught:
            with_client(tmp_path, [teacher(server)], lambda client: client.complete(ask()))
        assert other.seen == []
        assert f"{other.origin}/v1 in distil.yaml instead of {server.origin}/v1" in str(caught.value)


@pytest.mark.parametrize(
    ("url", "location", "words"),
    [
        ("http://a/v1/chat/completions", "https://a/v1/chat/completions", "write https://a/v1 in distil.yaml instead of http://a/v1."),
        ("http://a/v1/chat/completions", "/api/v1/chat/completions", "write http://a/api/v1 in distil.yaml instead of http://a/v1."),
        ("http://a/v1/chat/completions", "https://sso/login?token=hush", "on to https://sso/login (307)"),
        ("http://a/v1/chat/completions", "https://u:hush@b/v1/chat/completions#x", "write https://b/v1 in"),
        ("http://a/v1/chat/completions", "http://[", "can't be read"),
    ],
)  # fmt: skip
def test_the_address_to_write_is_said(url: str, location: str, words: str) -> None:
    said = redirected(url, location, 307)
    assert words in said and "hush" not in said


def test_a_batchs_download_follows_without_the_key() -> None:
    async def download(origin: str) -> list[object]:
        provider = AnthropicProvider("claude", origin, KEY)
        async with Http(provider) as http:
            return [row async for row in http.rows("/v1/messages/batches/b/results")]

    with Elsewhere() as other, OpenAIServer() as server:
        server.trouble_for = lambda seen: Trouble(302, b"", headers={"Location": f"{other.origin}/signed"})
        assert asyncio.run(download(server.origin)) == [{"custom_id": "a"}]
        assert [seen.method for seen in other.seen] == ["GET"]
        headers = other.seen[0].headers
    assert KEY not in str(headers) and not {"x-api-key", "authorization"} & set(headers)


def test_an_upload_and_a_new_batch_are_not_sent_on() -> None:
    async def work(origin: str, kind: str) -> None:
        provider = OpenAIProvider("gpt-4o-mini", f"{origin}/v1", KEY)
        async with Http(provider) as http:
            if kind == "upload":
                await http.upload("/files", lambda: aiohttp.FormData({"prompts": "private"}))
            elif kind == "create":
                await http.create("/batches", json={"prompts": "private"})
            else:
                await http.get("/batches")

    for kind in ("upload", "create", "get"):
        with Elsewhere() as other, OpenAIServer() as server:
            server.trouble_for = lambda seen, other=other: Trouble(307, b"", headers={"Location": f"{other.origin}/x"})  # type: ignore[misc]
            with pytest.raises(DistilError, match="sends requests on to"):
                asyncio.run(work(server.origin, kind))
            assert other.seen == []
