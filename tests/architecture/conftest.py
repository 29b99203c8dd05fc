"""The source is parsed once for the tests of a file, and forgotten then: millions of nodes slow each collection of garbage."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.architecture.source import parse


@pytest.fixture(scope="module", autouse=True)
def parsed_once() -> Iterator[None]:
    yield
    parse.cache_clear()
