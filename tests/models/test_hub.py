"""Without the hub: what was downloaded before is used at once, and anything else is told at once."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from distil.errors import UserError
from distil.models import hub
from distil.models.load import load, load_tokenizer
from tests.tiny import save_tiny

NOBODY = "http://127.0.0.1:9"


@pytest.fixture(autouse=True)
def no_proxy_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def listening() -> Iterator[str]:
    """HOST:PORT that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def test_a_hub_is_reachable_if_it_accepts_a_connection(listening: str) -> None:
    assert hub.reachable(f"http://{listening}")
    assert not hub.reachable(NOBODY)


@pytest.mark.parametrize("form", ["http://{}", "{}", "socks5://user:word@{}"])
def test_the_way_goes_through_the_proxy_that_is_set(form: str, listening: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", form.format(listening))
    assert hub.reachable("https://hub.invalid")
    monkeypatch.setenv("HTTPS_PROXY", form.format("127.0.0.1:9"))
    assert not hub.reachable("https://hub.invalid")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert hub.reachable(f"https://{listening}"), "named as reached without the proxy"


def test_a_downloaded_model_loads_without_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", NOBODY)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    stored = tmp_path / "models--some--tiny"
    save_tiny(stored / "snapshots" / "abc")
    (stored / "refs").mkdir()
    (stored / "refs" / "main").write_text("abc")
    assert load("some/tiny", device="cpu").model.config.hidden_size > 0
    with pytest.raises(UserError, match=r"some/tinny .* was not downloaded before, and .* can't be reached"):
        load_tokenizer("some/tinny")
