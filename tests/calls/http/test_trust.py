"""TLS that fails is said in words that lead on: self-signed, unknown, another host, no TLS at all."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
import time
from pathlib import Path

import pytest
from aiohttp import web

from distil.calls.config import Price, TeacherConfig
from distil.calls.http import trust
from distil.errors import UserError
from tests.calls.asking import with_client
from tests.wire.ask import question
from tests.wire.openai import OpenAIServer

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="makes its certificate with openssl")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(certificate, its key) for localhost, signed by itself."""
    folder = tmp_path_factory.mktemp("tls")
    paths = folder / "cert.pem", folder / "own.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", paths[1], "-out", paths[0]],
        check=True, capture_output=True,
    )  # fmt: skip
    return paths


class TlsServer(OpenAIServer):
    """The same behind TLS."""

    pair: tuple[Path, Path]

    async def _main(self) -> None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*self.pair)
        app = web.Application()
        app.add_routes(self.routes())
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        self.port = runner.addresses[0][1]
        self._ready.set()
        await self._stop.wait()
        await runner.cleanup()


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*trust.BUNDLES, "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


def answer(path: Path, url: str) -> str:
    model = f"{url}#m"
    config = TeacherConfig(model=model, price=Price(input=1, output=1))
    return str(with_client(path, [config], lambda client: client.complete(question("Hi", model))).text)


def test_a_self_signed_certificate_is_called_that(
    certificate: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = TlsServer(models=("m",), key=None)
    server.pair = certificate
    with server:
        url = f"https://localhost:{server.port}/v1"
        with pytest.raises(UserError, match="is self-signed") as caught:
            answer(tmp_path, url)
        assert "SSL_CERT_FILE" in str(caught.value) and "REQUESTS_CA_BUNDLE" in str(caught.value)
        for variable in trust.BUNDLES:
            with monkeypatch.context() as inner:
                inner.setenv(variable, str(certificate[0]))
                assert answer(tmp_path / variable, url) == "An answer to: Hi"
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
        with pytest.raises(UserError, match="belongs to another server"):
            answer(tmp_path, url.replace("localhost", "127.0.0.1"))


@pytest.mark.parametrize(("text", "words"), [("not PEM", "no certificate in PEM form"), (None, "No such file")])
def test_a_bundle_that_cannot_be_read_is_named(
    text: str | None, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "bundle.pem"
    if text is not None:
        path.write_text(text)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(path))
    with pytest.raises(UserError, match=words) as caught:
        answer(tmp_path, "https://localhost:1/v1")
    assert "REQUESTS_CA_BUNDLE" in str(caught.value)


def test_https_to_a_server_without_tls_is_told_soon(tmp_path: Path) -> None:
    started = time.monotonic()
    with OpenAIServer(models=("m",), key=None) as server, pytest.raises(UserError, match="does not speak TLS"):
        answer(tmp_path, server.url.replace("http:", "https:"))
    assert time.monotonic() - started < 10


@pytest.mark.parametrize("hangs_up", [False, True])
def test_https_to_a_port_without_tls_is_told_soon(hangs_up: bool, tmp_path: Path) -> None:
    """To a TLS greeting, a server that waits for the end of a line says nothing, or hangs up where the greeting holds one."""

    async def one_line(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        start = await reader.readexactly(3)
        if start == b"GET":
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.0 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            await writer.drain()
        elif not hangs_up:
            await reader.read()  # until the client gives up
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(one_line, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server:
            await asyncio.to_thread(answer, tmp_path, f"https://127.0.0.1:{port}/v1")

    started = time.monotonic()
    with pytest.raises(UserError, match="does not speak TLS"):
        asyncio.run(main())
    assert time.monotonic() - started < 12
