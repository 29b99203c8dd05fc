"""Short hashes that say whether two tokenizers give the same ids, and whether two chat templates give the same text.

A cache of a teacher's distributions is bound to exact token ids, so it carries both hashes and is refused on a mismatch.
"""

from __future__ import annotations

import json
from itertools import count
from typing import TYPE_CHECKING

from distil.ids import content_id
from distil.models.student_prompt import without_block

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def tokenizer_fingerprint(tokenizer: PreTrainedTokenizerBase) -> str:
    """Hash of the id of every token, the merge rules and the splitting rules; equal hashes = equal ids for every text."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    rules: dict[str, object] = {"vocab": sorted(tokenizer.get_vocab().items(), key=lambda item: (item[1], item[0]))}
    if backend is not None:
        saved = json.loads(backend.to_str())
        model = saved.get("model") or {}
        rules["merges"] = model.get("merges")
        rules["split"] = [saved.get(key) for key in ("normalizer", "pre_tokenizer")]
    return content_id("tok", rules)


def template_fingerprint(tokenizer: PreTrainedTokenizerBase, *, for_teacher: bool = False) -> str:
    """Hash of the chat template's text, the end token and the start token (templates insert both).

    for_teacher: of the template with the whole prompt, which the teacher sees where `student.prompt` hides a part of it.
    """
    template = tokenizer.chat_template
    if for_teacher and isinstance(template, str):
        template = without_block(template)
    return content_id("tpl", [template, tokenizer.eos_token, tokenizer.bos_token])


def shared_prefix(ours: PreTrainedTokenizerBase, theirs: PreTrainedTokenizerBase) -> int:
    """How many ids, counted from 0, stand for the same token in both tokenizers.

    One family with a differently padded or extended vocabulary shares a long prefix; different tokenizers share next to none.
    """
    mine, yours = ({index: token for token, index in t.get_vocab().items()} for t in (ours, theirs))
    return next(i for i in count() if i not in mine or mine[i] != yours.get(i))
