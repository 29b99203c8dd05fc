"""HTTP_PROXY and its relatives: which proxy is used, which address goes straight, and that no password is shown or stored."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from distil.calls.config import Price, TeacherConfig
from distil.calls.http.proxies import proxy_for, without_credentials
from distil.errors import DistilError, UserError
from tests.calls.asking import ask, with_client

VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def no_proxy_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.parametrize(
    ("names", "url", "proxy"),
    [
        ({"HTTPS_PROXY": "http://p:3128"}, "https://api.openai.com/v1", "http://p:3128"),
        ({"HTTPS_PROXY": "http://p:3128"}, "http://api.openai.com/v1", None),
        ({"HTTPS_PROXY": "p.corp:3128"}, "https://api.openai.com/v1", "http://p.corp:3128"),
        ({"ALL_PROXY": "http://p:1"}, "https://a.b/v1", "http://p:1"),
        ({"ALL_PROXY": "http://p:1", "HTTPS_PROXY": "http://q:2"}, "https://a.b/v1", "http://q:2"),
        ({"https_proxy": "http://u:w@p:1"}, "https://a.b/v1", "http://u:w@p:1"),
        ({"HTTPS_PROXY": ""}, "https://a.b/v1", None),
    ],
)
def test_the_environment_sets_the_proxy(
    names: dict[str, str], url: str, proxy: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in names.items():
        monkeypatch.setenv(name, value)
    assert proxy_for(url) == proxy


@pytest.mark.parametrize(
    ("patterns", "url", "straight"),
    [
        ("10.0.0.0/8", "http://10.1.2.3:8000/v1", True),
        ("10.0.0.0/8", "http://11.1.2.3:8000/v1", False),
        ("localhost, 192.168.0.0/16", "http://192.168.7.1/v1", True),
        ("fd00::/8", "http://[fd00::1]:8000/v1", True),
        ("::1", "http://[::1]:8000/v1", True),
        (".corp", "http://gpu.corp/v1", True),
        ("corp", "http://gpu.corp/v1", True),
        ("*.corp", "http://gpu.corp/v1", True),
        ("corp", "http://notcorp/v1", False),
        ("gpu.corp:8000", "http://gpu.corp:8000/v1", True),
        ("gpu.corp:8000", "http://gpu.corp:9000/v1", False),
        ("*", "http://anything/v1", True),
        ("", "http://anything/v1", False),
    ],
)
def test_no_proxy_is_read_as_everyone_writes_it(
    patterns: str, url: str, straight: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://p:1")
    monkeypatch.setenv("NO_PROXY", patterns)
    assert (proxy_for(url) is None) is straight


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("socks5://u:hush@p:1080", "SOCKS"),
        ("socks5h://p:1080", "SOCKS"),
        ("http://u:hush@:99999", "not"),
        ("ftp://p", "not"),
    ],
)
def test_a_proxy_that_cannot_be_used_is_refused(value: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", value)
    with pytest.raises(UserError, match=words) as caught:
        proxy_for("https://api.openai.com/v1")
    assert "ALL_PROXY" in str(caught.value) and "hush" not in str(caught.value)


def test_credentials_leave_a_text() -> None:
    assert (
        without_credentials("403, url='http://u:pw@h:1/' and https://me@x/") == "403, url='http://h:1/' and https://x/"
    )


@contextlib.contextmanager
def refusing_proxy(reply: bytes) -> Iterator[int]:
    """Answers every CONNECT with `reply`; the port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection:
                        connection.recv(65536)
                        connection.sendall(reply)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(5)


@pytest.mark.parametrize(
    ("status", "words"), [("403 Forbidden", "403"), ("407 Proxy Authentication Required", "a user name and a password")]
)
def test_a_proxys_password_is_neither_shown_nor_stored(
    status: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with refusing_proxy(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode()) as port:
        monkeypatch.setenv("HTTPS_PROXY", f"http://user:PROXYSECRET@127.0.0.1:{port}")
        monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
        config = TeacherConfig(model="openai/gpt-4o-mini", price=Price(input=1, output=1), attempts=2)
        with pytest.raises(DistilError) as caught:
            with_client(tmp_path, [config], lambda client: client.complete(ask()))
    assert words in str(caught.value) and f"127.0.0.1:{port}" in str(caught.value)
    assert "PROXYSECRET" not in str(caught.value)
    assert all(b"PROXYSECRET" not in path.read_bytes() for path in tmp_path.iterdir())
