"""local/PATH and bundled/NAME: models in this process, asked one by one and answered in batches."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from distil.calls.providers.base import LocalProvider, Parsed
from distil.calls.providers.local import BundledProvider, LocalModelProvider, folder_identity
from distil.calls.request import Request
from distil.errors import UserError
from distil.records import Sampling
from tests.tiny import save_tiny
from tests.wire.ask import question

SHORT = Sampling(temperature=0.0, max_tokens=4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("teacher"))


def ask_together(provider: LocalModelProvider, requests: Sequence[Request]) -> list[Parsed | BaseException]:
    async def gather() -> list[Parsed | BaseException]:
        return await asyncio.gather(*(provider.answer(request) for request in requests), return_exceptions=True)

    return asyncio.run(gather())


def test_concurrent_requests_become_ordered_batches(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    provider = LocalModelProvider(folder.name, folder.parent)
    sizes: list[int] = []
    plain = provider._generate

    def counted(requests: Sequence[Request]) -> list[Parsed | Exception]:
        sizes.append(len(requests))
        return plain(requests)

    monkeypatch.setattr(provider._batcher, "_work", counted)
    requests = [question(f"order {n}", sampling=SHORT) for n in range(70)]
    together = ask_together(provider, requests)
    assert sizes == [64, 6]
    alone = ask_together(provider, requests[40:41])[0]
    assert isinstance(alone, Parsed) and isinstance(together[40], Parsed)
    assert alone.text == together[40].text
    assert alone.usage.input_tokens > 0 and alone.usage.output_tokens <= 4


def test_other_settings_need_another_batch(folder: Path) -> None:
    provider = LocalModelProvider(str(folder))
    long = Sampling(temperature=0.0, max_tokens=9)
    mixed = ask_together(provider, [question("a", sampling=SHORT), question("a", sampling=long)])
    lengths = [parsed.usage.output_tokens for parsed in mixed if isinstance(parsed, Parsed)]
    assert lengths[0] <= 4 and lengths[1] <= 9 and len(lengths) == 2


def test_requested_logprobs_come_with_token_ids(folder: Path) -> None:
    provider = LocalModelProvider(str(folder))
    sampling = Sampling(temperature=0.0, max_tokens=4, top_logprobs=0)
    parsed = ask_together(provider, [question("a", sampling=sampling)])[0]
    assert isinstance(parsed, Parsed) and parsed.logprobs is not None
    assert len(parsed.logprobs) == parsed.usage.output_tokens
    assert all(entry["logprob"] <= 0 and isinstance(entry["token_id"], int) for entry in parsed.logprobs)


def test_a_missing_model_fails_every_waiting_request(tmp_path: Path) -> None:
    """As an error of the user."""
    provider = LocalModelProvider("./nowhere", tmp_path)
    results = ask_together(provider, [question("a"), question("b")])
    assert all(isinstance(result, UserError) and "nowhere" in str(result) for result in results)


def test_the_identity_follows_the_files(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    before = folder_identity(tmp_path)
    (tmp_path / "config.json").write_text("{ }")
    assert folder_identity(tmp_path) != before
    assert LocalModelProvider(str(folder)).identity() == folder_identity(folder)
    assert LocalModelProvider("Qwen/Qwen3-0.6B").identity() == "Qwen/Qwen3-0.6B"
    assert isinstance(LocalModelProvider("x"), LocalProvider)


def test_an_unknown_bundled_model_is_refused_at_once() -> None:
    with pytest.raises(UserError, match="bundled/teacher, bundled/student"):
        BundledProvider("techer")
