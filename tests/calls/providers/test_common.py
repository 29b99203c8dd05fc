"""What a provider's own words may hold when they reach a person or a file."""

from __future__ import annotations

import pytest

from distil.calls.providers.common import shorten

KEY = "whatever-it-looks-like"


@pytest.mark.parametrize(
    "words", ["sk-proj-abc***6789", "key-0123456789", "gsk_0123456789", "AIzaSy0123456789", "xai-0123456789", KEY]
)
def test_keys_and_what_looks_like_one_are_taken_out(words: str) -> None:
    assert shorten(f"Bad key {words}.", KEY) in ("Bad key ***", "Bad key ***.", "Bad key [key].")


def test_plain_words_stay() -> None:
    plain = "The keyboard of the skeleton was skipping xaiverse keywords."
    assert shorten(plain, KEY) == plain
