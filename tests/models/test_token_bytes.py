"""The bytes of token ids: exact for both families of tokenizers, and the same for a cache and for training."""

from __future__ import annotations

from typing import Any

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models
from transformers import PreTrainedTokenizerFast

from distil.errors import UserError
from distil.models.render import special_ids
from distil.models.token_bytes import bytes_of_ids, ids_of_bytes
from distil.train.signal.crosstokenizer import TokenBytes
from tests.tiny import tiny_tokenizer

PIECES = {"<0xC3>": 0, "\u2581a": 1, "b": 2, "<0x0A>": 3, "<0xZZ>": 4, "</s>": 5}
PIECE_BYTES = {0: b"\xc3", 1: b" a", 2: b"b", 3: b"\n", 4: b"<0xZZ>", 5: b"</s>"}


def sentencepiece_like() -> Any:
    """The decoder of Llama 2: a space mark, and bytes for what is not in the vocabulary."""
    pieces = Tokenizer(models.BPE(vocab=PIECES, merges=[], byte_fallback=True))
    pieces.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback()])  # type: ignore[assignment]
    return PreTrainedTokenizerFast(tokenizer_object=pieces, eos_token="</s>")


def with_added(tokenizer: Any) -> Any:
    """Adds an ordinary token whose letters mean other bytes in GPT-2's alphabet, and a special one."""
    tokenizer.add_tokens([AddedToken("caf\u00e9 \u2581x", normalized=False)])
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|tool|>"]})
    return tokenizer


@pytest.mark.parametrize("text", ['Gr\u00f6\u00dfe 7 \u2014 {"a": 1}\n', "42 \u20ac, \u4f60\u597d\n\tend"])
def test_the_tokens_of_a_text_spell_its_bytes(text: str) -> None:
    tokenizer = tiny_tokenizer()
    table = bytes_of_ids(tokenizer, exact=True)
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert b"".join(table[i] for i in ids) == text.encode()
    assert len(table) == len(tokenizer.get_vocab())
    back = ids_of_bytes(table, set(tokenizer.all_special_ids))
    assert all(table[back[table[i]]] == table[i] for i in table)


def test_pieces_are_bytes_or_text_with_spaces() -> None:
    assert bytes_of_ids(sentencepiece_like(), exact=True) == PIECE_BYTES


def test_added_tokens_stand_for_their_own_text() -> None:
    for tokenizer in (with_added(tiny_tokenizer()), with_added(sentencepiece_like())):
        table = bytes_of_ids(tokenizer)
        assert table[tokenizer.convert_tokens_to_ids("caf\u00e9 \u2581x")] == "caf\u00e9 \u2581x".encode()
        assert table[tokenizer.convert_tokens_to_ids("<|tool|>")] == b"<|tool|>"


@pytest.mark.parametrize("make", [tiny_tokenizer, sentencepiece_like])
def test_a_cache_and_training_see_the_same_bytes(make: Any) -> None:
    tokenizer = with_added(make())
    cached, trained = bytes_of_ids(tokenizer, exact=True), TokenBytes(tokenizer)
    special = special_ids(tokenizer)
    assert {tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids("<|tool|>")} <= special
    for index, text in cached.items():
        assert trained.of(index) == (b"" if index in special else text)
    assert trained.of(len(tokenizer) + 5) == b""


def test_another_kind_of_tokenizer_has_no_exact_bytes() -> None:
    words = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel(vocab={"a": 0}, unk_token="a")))
    with pytest.raises(UserError, match="neither byte-level nor SentencePiece"):
        bytes_of_ids(words, exact=True)
    assert bytes_of_ids(words) == {0: b"a"}
