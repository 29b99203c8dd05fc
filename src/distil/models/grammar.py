"""Answers that follow a response_format: at each token, which ids keep the answer within the grammar (llguidance, on the CPU).

What the library can't enforce is not half enforced: there is no constraint then, and the finished answer is checked.
"""

from __future__ import annotations

import importlib.util
import json
from typing import TYPE_CHECKING

import numpy as np

from distil.errors import DistilError
from distil.json_schema import Requirement

if TYPE_CHECKING:
    import torch
    from llguidance import LLMatcher, LLTokenizer
    from transformers import PreTrainedTokenizerBase

BLANKS = r"[ \n]{0,24}"
"""Between JSON's signs. Bounded: a model that knows no end would fill its answer with blanks."""


class GrammarBroken(DistilError):
    """The library lost the thread of an answer."""


class Grammars:
    """Constraints for one tokenizer. Making it takes seconds for 150,000 ids."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, ends: set[int]) -> None:
        """ends: the ids that end an answer. Raises ValueError for a tokenizer that the library can't read."""
        from llguidance.hf import from_tokenizer

        self._tokenizer: LLTokenizer = from_tokenizer(tokenizer, eos_token=sorted(ends))  # type: ignore[arg-type]

    def constraint(self, required: Requirement) -> GrammarConstraint | None:
        """What keeps an answer within the requirement; None where nothing is required, or where the library can't do it."""
        from llguidance import LLMatcher

        grammar = _grammar(required)
        if grammar is None or LLMatcher.validate_grammar(grammar, self._tokenizer):
            return None
        return GrammarConstraint(LLMatcher(self._tokenizer, grammar, log_level=0), self._tokenizer.vocab_size)


class GrammarConstraint:
    """One answer's way through a grammar."""

    def __init__(self, matcher: LLMatcher, size: int) -> None:
        self._matcher = matcher
        self._bits = np.zeros((size + 31) // 32, dtype=np.int32)

    def mask(self, logits: torch.Tensor) -> torch.Tensor:
        """The logits (V,) with minus infinity at every id that would leave the grammar."""
        import torch

        self._matcher.unsafe_compute_mask_ptr(self._bits.ctypes.data, self._bits.nbytes)
        self._check()
        bits = np.unpackbits(self._bits.view(np.uint8), bitorder="little")[: len(logits)].astype(bool)
        allowed = torch.zeros(len(logits), dtype=torch.bool)  # a model may have more ids than its tokenizer
        allowed[: len(bits)] = torch.from_numpy(bits)
        return logits.masked_fill(~allowed.to(logits.device), float("-inf"))

    def accept(self, token: int) -> None:
        """Takes the next token."""
        self._matcher.consume_token(token)
        self._check()

    def _check(self) -> None:
        if self._matcher.is_error():
            raise GrammarBroken(f"The grammar of the response_format failed: {self._matcher.get_error()[:300]}")


def has_grammars() -> bool:
    """Whether the library is installed (the extra distil[serve])."""
    return importlib.util.find_spec("llguidance") is not None


def _grammar(required: Requirement) -> str | None:
    from llguidance import LLMatcher

    if required.choices is not None:
        texts = (json.dumps(choice, ensure_ascii=False) for choice in required.choices)
        return LLMatcher.grammar_from_lark("start: " + " | ".join(texts))
    if required.pattern is not None:
        return LLMatcher.grammar_from_regex(required.pattern)
    if not required.json:
        return None
    schema = dict(required.schema) if required.schema is not None else {"type": "object"}
    try:
        return LLMatcher.grammar_from_json_schema(schema, overrides={"whitespace_pattern": BLANKS})
    except ValueError:
        return None
