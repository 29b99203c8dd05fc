"""A byte-level BPE tokenizer and its chat template in llama.cpp's terms, and back for the comparison.

llama.cpp stores how text is split as a name, and keeps the rules for that name in its code. So the name is found by behavior:
a tokenizer gets a name only when both split all probes the same. SentencePiece vocabularies are refused.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from distil.errors import UserError

if TYPE_CHECKING:
    from tokenizers.pre_tokenizers import Sequence
    from transformers import PreTrainedTokenizerBase

_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)"
_MODERN = (
    r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|DIGITS"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_LLAMA3, _QWEN2 = _MODERN.replace("DIGITS", r"\p{N}{1,3}"), _MODERN.replace("DIGITS", r"\p{N}")


class Splitting(NamedTuple):
    """What llama.cpp does for one value of `tokenizer.ggml.pre` (llama-vocab.cpp)."""

    patterns: tuple[str, ...]
    """Applied one after the other: a match is a piece, and so is the text between two."""
    ignore_merges: bool
    """A piece that is a token as a whole is taken without merging."""


SPLITTINGS = {
    "llama-bpe": Splitting((_LLAMA3,), True),
    "smaug-bpe": Splitting((_LLAMA3,), False),
    "qwen2": Splitting((_QWEN2,), False),
    "smollm": Splitting((r"\p{N}", _GPT2), False),
    "gpt-2": Splitting((_GPT2,), False),
}

PROBES = (
    "Hello world, it's HE'S she'll WE'LL I've I'VE 'tis don't DON'T rock'n'roll",
    "1 12 123 1234 12345 1234567 3.14 -42 1,000 x1y22z333 v2.0 ٣٤٥ ½ ² Ⅷ 第3章",
    " a  b   c    d\te\t\tf \t g \n h\n\ni\n\n\nj \n\n k\r\nl\r\n\r\nm  \n  n\n ",
    '{"intent": "refund", "n": [1, 2.5]}\n\ndef f(x):\n\treturn x**2  # ok\n---===***!!!???...\n//path/to/x.py\n',
    "Ümlaut naïve Straße ÉCOLE 你好，世界。 こんにちは नमस्ते कक्षा สวัสดี 한국어 Привет مرحبا",
    "🙂 👩🏽‍🚀 e\u0301 a\u00a0b\u2003c ™®€$£ <tag attr='v'> &amp; camelCaseHTMLParser snake_case",
    *("", " ", "   ", "\n", "a ", " 7"),
)


@dataclass(frozen=True)
class Vocabulary:
    """Everything of a tokenizer that goes into a GGUF file."""

    tokens: list[str]
    """The spelling of each id; ids without a token are `[PADn]`."""
    types: list[int]
    """llama.cpp's token types: 1 normal, 3 control, 4 added by the user, 5 unused."""
    merges: list[str]
    pre: str
    """A key of SPLITTINGS."""
    template: str
    add_bos: bool
    special: dict[str, int] = field(default_factory=dict)
    """bos, eos, eot, eom, pad: those that there are."""


NORMAL, CONTROL, USER_DEFINED, UNUSED = 1, 3, 4, 5


def vocabulary_of(tokenizer: PreTrainedTokenizerBase, size: int, stops: set[int]) -> Vocabulary:
    """Reads a transformers tokenizer. size: rows of the model's embedding; stops: all ids that end an answer.

    Raises UserError for anything that llama.cpp would tokenize differently.
    """
    if not tokenizer.is_fast:
        raise refused("its tokenizer has no tokenizer.json (only fast tokenizers can be read)")
    saved = json.loads(tokenizer.backend_tokenizer.to_str())
    _check_kind(saved)
    spelled = {index: token for token, index in tokenizer.get_vocab().items()}
    if max(spelled) >= size:
        raise refused(f"its tokenizer has ids up to {max(spelled):,}, but the model has only {size:,}")
    added = tokenizer.added_tokens_decoder
    tokens, types = [], []
    for index in range(size):
        tokens.append(spelled.get(index, f"[PAD{index}]"))
        if index not in spelled:
            types.append(UNUSED)
        elif index in added:
            types.append(CONTROL if added[index].special else USER_DEFINED)
        else:
            types.append(NORMAL)
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in saved["model"]["merges"]]
    pre = splitting_name(tokenizer, bool(saved["model"].get("ignore_merges")))
    template = plain_template(str(tokenizer.chat_template))
    add_bos = tokenizer.bos_token_id is not None and tokenizer("a")["input_ids"][:1] == [tokenizer.bos_token_id]
    return Vocabulary(tokens, types, merges, pre, template, add_bos, _special(tokenizer, stops))


def _check_kind(saved: dict[str, Any]) -> None:
    model = saved.get("model") or {}
    kinds = json.dumps(saved.get("pre_tokenizer") or {})
    if model.get("type") != "BPE" or model.get("byte_fallback") or '"ByteLevel"' not in kinds:
        raise refused("its tokenizer is not byte-level BPE (the kind of GPT-2, Llama 3 and Qwen)")
    if '"add_prefix_space": true' in kinds:
        raise refused("its tokenizer puts a space in front of every text")
    normalizer = (saved.get("normalizer") or {}).get("type")
    if normalizer not in (None, "NFC"):  # text is usually NFC already, and llama.cpp's own script leaves it out, too
        raise refused(f"its tokenizer changes text before splitting it ({normalizer})")
    for token in saved.get("added_tokens") or []:
        if token["lstrip"] or token["rstrip"] or token["single_word"]:
            raise refused(f"its token {token['content']!r} absorbs the spaces next to it or matches whole words only")


def _special(tokenizer: PreTrainedTokenizerBase, stops: set[int]) -> dict[str, int]:
    found = {"eos": int(tokenizer.eos_token_id)}
    others = sorted(stops - {found["eos"]})
    if len(others) > 2:
        raise refused(f"{len(stops)} different tokens end its answers, and the format holds three")
    found.update(zip(("eot", "eom"), others, strict=False))
    for name, index in (("bos", tokenizer.bos_token_id), ("pad", tokenizer.pad_token_id)):
        if index is not None:
            found[name] = int(index)
    return found


def splitting_name(tokenizer: PreTrainedTokenizerBase, ignore_merges: bool) -> str:
    """The name under which llama.cpp splits text as this tokenizer does. Raises UserError where there is none."""
    ours = tokenizer.backend_tokenizer.pre_tokenizer
    for name, splitting in SPLITTINGS.items():
        theirs = pre_tokenizer(splitting)
        alike = all(ours.pre_tokenize_str(probe) == theirs.pre_tokenize_str(probe) for probe in PROBES)
        if alike and splitting.ignore_merges == ignore_merges:
            return name
    raise refused(f"its tokenizer splits text by none of the known rules ({', '.join(SPLITTINGS)})")


def pre_tokenizer(splitting: Splitting) -> Sequence:
    """llama.cpp's splitting as a pre-tokenizer of the tokenizers package."""
    from tokenizers import Regex, pre_tokenizers

    splits = [pre_tokenizers.Split(Regex(pattern), behavior="isolated") for pattern in splitting.patterns]
    return pre_tokenizers.Sequence([*splits, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def plain_template(template: str) -> str:
    """A chat template without transformers' own `{% generation %}` markers, which other engines don't know.

    They become `{% if true %}`, not nothing: their dashes and newlines trim the text around them.
    """
    opened = re.sub(r"(\{%[-+]?\s*)generation(\s*[-+]?%\})", r"\1if true\2", template)
    return re.sub(r"(\{%[-+]?\s*)endgeneration(\s*[-+]?%\})", r"\1endif\2", opened)


def tokenizer_from(vocabulary: Vocabulary) -> PreTrainedTokenizerBase:
    """What llama.cpp makes of it, as a transformers tokenizer: vocabulary, merges, splitting and control tokens."""
    from tokenizers import AddedToken, Tokenizer, decoders, models
    from transformers import PreTrainedTokenizerFast

    splitting = SPLITTINGS[vocabulary.pre]
    backend = Tokenizer(
        models.BPE(
            vocab={token: index for index, token in enumerate(vocabulary.tokens)},
            merges=[(left, right) for left, right in (merge.split(" ") for merge in vocabulary.merges)],
            ignore_merges=splitting.ignore_merges,
        )
    )
    backend.pre_tokenizer = pre_tokenizer(splitting)
    backend.decoder = decoders.ByteLevel()
    for kind, special in ((CONTROL, True), (USER_DEFINED, False)):
        chosen = [t for t, type_ in zip(vocabulary.tokens, vocabulary.types, strict=True) if type_ == kind]
        add = backend.add_special_tokens if special else backend.add_tokens
        add([AddedToken(token, normalized=False, special=special) for token in chosen])
    names = {"eos_token": "eos", "bos_token": "bos", "pad_token": "pad"}
    known = {key: vocabulary.tokens[vocabulary.special[n]] for key, n in names.items() if n in vocabulary.special}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, clean_up_tokenization_spaces=False, **known)
    tokenizer.chat_template = vocabulary.template
    return tokenizer


def refused(reason: str) -> UserError:
    """For a student that the format can't hold faithfully."""
    return UserError(
        f"This student can't be written as GGUF here: {reason}. Export it with `--to safetensors`, then convert that folder "
        "with llama.cpp's own convert_hf_to_gguf.py, which knows more models."
    )
