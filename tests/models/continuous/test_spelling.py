"""The text of growing tokens: whole characters, no part of a stop sequence, and in the end what decoding all at once gives."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distil.models.continuous.spelling import Spelling
from tests.tiny import tiny_tokenizer


def sentencepiece() -> Any:
    """A tokenizer as Llama 2's: blanks as marks, bytes for what it has no piece for."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    pieces = [
        "<unk>",
        "<s>",
        "</s>",
        *(f"<0x{byte:02X}>" for byte in range(256)),
        *"\u2581abcdefgh,.",
        "\u2581a",
        "\u2581b",
    ]
    merges = [("\u2581", "a"), ("\u2581", "b")]
    inner = Tokenizer(models.BPE({p: i for i, p in enumerate(pieces)}, merges, unk_token="<unk>", byte_fallback=True))
    inner.pre_tokenizer = pre_tokenizers.Metaspace()  # type: ignore[assignment]
    inner.decoder = decoders.Sequence(  # type: ignore[assignment]
        [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="</s>", unk_token="<unk>")


def until_a_stop(tokenizer: Any, ids: list[int], stops: list[str]) -> str:
    """Everything decoded again at each token, as generate() does."""
    text = ""
    for end in range(1, len(ids) + 1):
        text = str(tokenizer.decode(ids[:end], skip_special_tokens=True))
        if found := [at for stop in stops if (at := text.find(stop)) >= 0]:
            return text[: min(found)]
    return text


@pytest.mark.parametrize("kind", [tiny_tokenizer, sentencepiece])
@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.text("abc, é🙂漢\n", min_size=1, max_size=30), st.lists(st.text("abc é🙂", min_size=1, max_size=4), max_size=2)
)
def test_pieces_are_the_text_and_hold_no_part_of_a_stop(kind: Any, text: str, stops: list[str]) -> None:
    tokenizer = kind()
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    expected = until_a_stop(tokenizer, ids, stops)
    spelling = Spelling(tokenizer, stops)
    shown = ""
    for token in ids:
        stopped = spelling.add(token)
        assert spelling.settled.startswith(shown) and "\ufffd" not in spelling.settled
        shown = spelling.settled
        assert expected.startswith(shown)
        if stopped:
            break
    assert spelling.text == expected


def test_half_a_character_is_not_shown() -> None:
    tokenizer = tiny_tokenizer()
    first, *rest = tokenizer("🙂")["input_ids"]
    spelling = Spelling(tokenizer, [])
    spelling.add(first)
    assert spelling.text == "" and rest
    for token in rest:
        spelling.add(token)
    assert spelling.text == "🙂"


def test_a_tokenizer_without_a_stream_is_spelled_in_windows() -> None:
    """Slow tokenizers have no backend."""
    tokenizer = tiny_tokenizer()
    text = "My order 4711 hasn't arrived 🙂 yet; the blue kettle leaks " * 4
    spelling = Spelling(tokenizer, [])
    spelling._stream = None
    for token in tokenizer(text)["input_ids"]:
        spelling.add(token)
    assert spelling.text == text
