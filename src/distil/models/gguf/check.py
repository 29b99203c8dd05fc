"""Reads a GGUF file back, through transformers' own reader, and compares it with the student that was trained.

What that reader leaves out (rotation factors, head size, end tokens, splitting) is read here from the file's metadata.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distil.models import parity
from distil.models.gguf.tokenizer import PROBES, Vocabulary, plain_template, tokenizer_from
from distil.models.gguf.write import plain_frequencies, require_gguf
from distil.models.load import Loaded, stop_ids

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

Fields = dict[str, Any]
"""The key-value pairs of a GGUF file."""
SAME = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
        "num_key_value_heads", "max_position_embeddings", "tie_word_embeddings")  # fmt: skip
CHAT = ({"role": "user", "content": "Where is order 4711?"}, {"role": "assistant", "content": "On its way."})


def compare_gguf(trained: Loaded, file: Path, prompts: Sequence[list[int]]) -> parity.Parity:
    """Figures of `file` against the trained student on `prompts`; `template_equal` covers tokens, splitting and template."""
    fields = metadata(file)
    vocabulary = vocabulary_in(fields)
    tokenizer = tokenizer_from(vocabulary)
    model = _model(trained, file, fields)
    found = parity.compare(trained, Loaded(model, tokenizer, str(file), trained.device), prompts)
    stops = {vocabulary.special[name] for name in ("eos", "eot", "eom") if name in vocabulary.special}
    return replace(
        found,
        template_equal=_same_text(trained.tokenizer, tokenizer, prompts),
        eos_equal=stops == stop_ids(trained.model, trained.tokenizer),
        shape_equal=_same_shape(trained, model, file, fields),
    )


def metadata(file: Path) -> Fields:
    """All key-value pairs of a GGUF file as plain values."""
    return {name: field.contents() for name, field in require_gguf().GGUFReader(file).fields.items()}


def vocabulary_in(fields: Fields) -> Vocabulary:
    """The tokenizer that a file describes."""
    names = {"bos": "bos_token_id", "eos": "eos_token_id", "eot": "eot_token_id", "eom": "eom_token_id",
             "pad": "padding_token_id"}  # fmt: skip
    keys = {name: f"tokenizer.ggml.{key}" for name, key in names.items()}
    return Vocabulary(
        tokens=list(fields["tokenizer.ggml.tokens"]),
        types=[int(kind) for kind in fields["tokenizer.ggml.token_type"]],
        merges=list(fields["tokenizer.ggml.merges"]),
        pre=str(fields["tokenizer.ggml.pre"]),
        template=str(fields["tokenizer.chat_template"]),
        add_bos=bool(fields["tokenizer.ggml.add_bos_token"]),
        special={name: int(fields[key]) for name, key in keys.items() if key in fields},
    )


def _model(trained: Loaded, file: Path, fields: Fields) -> PreTrainedModel:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    kind = str(fields["general.architecture"])
    config = AutoConfig.from_pretrained(str(file.parent), gguf_file=file.name)
    config.head_dim = int(fields[f"{kind}.attention.key_length"])
    config.rope_parameters = dict(trained.model.config.rope_parameters)  # compared by _same_shape
    source: Fields = {"gguf_file": file.name, "config": config, "dtype": torch.float32}
    with contextlib.redirect_stderr(io.StringIO()):  # its progress bar can't be switched off
        model: Any = AutoModelForCausalLM.from_pretrained(str(file.parent), **source)
    stops = [int(fields[key]) for name in ("eos", "eot", "eom") if (key := f"tokenizer.ggml.{name}_token_id") in fields]
    model.config.eos_token_id = model.generation_config.eos_token_id = stops
    result: PreTrainedModel = model.to(trained.device).eval()
    return result


def _same_shape(trained: Loaded, model: PreTrainedModel, file: Path, fields: Fields) -> bool:
    import numpy as np

    ours, theirs = trained.model.config, model.config
    kind = str(fields["general.architecture"])
    actual = trained.model.get_decoder().rotary_emb.inv_freq.detach().float().cpu().numpy()
    stored = plain_frequencies(float(fields[f"{kind}.rope.freq_base"]), int(fields[f"{kind}.rope.dimension_count"]))
    for tensor in require_gguf().GGUFReader(file).tensors:
        if tensor.name == "rope_freqs.weight":
            stored = stored / tensor.data
    stored = stored / float(fields.get(f"{kind}.rope.scaling.factor", 1.0))
    return (
        kind == ours.model_type
        and all(getattr(ours, name) == getattr(theirs, name) for name in SAME)
        and bool(np.isclose(ours.rms_norm_eps, theirs.rms_norm_eps, rtol=1e-6))
        and stored.shape == actual.shape
        and bool(np.allclose(stored, actual, rtol=1e-5, atol=0))
    )


def _same_text(ours: PreTrainedTokenizerBase, theirs: PreTrainedTokenizerBase, prompts: Sequence[list[int]]) -> bool:
    """The same ids for probes and prompts, the same template, and the same rendering of a conversation."""
    import unicodedata

    texts = [unicodedata.normalize("NFC", probe) for probe in PROBES] + [str(ours.decode(ids)) for ids in prompts]
    same_ids = all(_ids(ours, text) == _ids(theirs, text) for text in texts)
    if not same_ids or theirs.chat_template != plain_template(ours.chat_template):
        return False
    for chat, asks in (([CHAT[0]], True), (list(CHAT), False)):
        options: Fields = {"tokenize": False, "add_generation_prompt": asks}
        if ours.apply_chat_template(chat, **options) != theirs.apply_chat_template(chat, **options):
            return False
    return True


def _ids(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])
