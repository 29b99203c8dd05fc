"""A student like the bundled one that reads with another tokenizer: its own byte-pair merges, learned from the bundled text.

The body starts as the bundled student's, each embedding as the mean of the old tokens that spell the same bytes; then all of it
learns the skills corpus (never the task) for some steps.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))  # for `tools`, which is not installed

from distil.models.load import load
from tools.bundled_models.__main__ import export
from tools.bundled_models.loop import Plan, Run
from tools.bundled_models.skills import MIX, document
from tools.bundled_models.skills.documents import ASSISTANT, BOS, END, PAD, SPECIAL_TOKENS, SYSTEM, USER
from tools.bundled_models.tokenizer import CHAT_TEMPLATE, CONTEXT


def texts(documents: int) -> Iterator[str]:
    """The skills corpus without its random strings, role marks as line ends."""
    rng = random.Random("second tokenizer")
    words = {name: share for name, share in MIX.items() if name not in ("repetition", "echo", "lookup")}
    for _ in range(documents):
        text = document(rng, words).text()
        for token in SPECIAL_TOKENS:
            text = text.replace(token, "\n")
        yield text


def learn_tokenizer(size: int, documents: int = 20_000) -> Any:
    """Byte-level BPE with `size` ids. Words are cut as GPT-2 does, digits stay single, so only the merges differ."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=list(SPECIAL_TOKENS), initial_alphabet=alphabet, show_progress=False
    )
    backend.train_from_iterator(texts(documents), trainer=trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token=BOS, eos_token=END, pad_token=PAD, model_max_length=CONTEXT,
        additional_special_tokens=[SYSTEM, USER, ASSISTANT], clean_up_tokenization_spaces=False,
    )  # fmt: skip
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def with_new_embeddings(old: Any, old_tokenizer: Any, tokenizer: Any) -> Any:
    """The old model with embeddings for the new ids: each the mean of the old tokens that spell the same bytes."""
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(old.config._name_or_path)
    config.vocab_size = len(tokenizer)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    state = old.state_dict()
    before = state["model.embed_tokens.weight"]
    merges = old_tokenizer.backend_tokenizer.model
    rows = torch.zeros(len(tokenizer), before.shape[1])
    for token, index in tokenizer.get_vocab().items():
        same = old_tokenizer.convert_tokens_to_ids(token) if token in SPECIAL_TOKENS else None
        ids = [same] if same is not None else [part.id for part in merges.tokenize(token)]
        rows[index] = before[ids].mean(0)
    state["model.embed_tokens.weight"] = state["lm_head.weight"] = rows
    model.load_state_dict(state)
    return model


def make_student(folder: Path, size: int, steps: int) -> None:
    """Writes the student to `folder` as a plain model folder."""
    bundled = load("bundled/student", dtype="float32", device="cpu")
    tokenizer = learn_tokenizer(size)
    model = with_new_embeddings(bundled.model, bundled.tokenizer, tokenizer)
    plan = Plan("second", None, steps, 2048, 0.004, 1.5e-3, task_share=(0.0, 0.0), random_share=0.02, decay=0.5)
    work = folder.parent / f"{folder.name}.run"
    work.mkdir(parents=True, exist_ok=True)
    run = Run(plan, model, tokenizer, work, lambda model: {})
    if (work / "checkpoint.pt").exists():
        run.load(work / "checkpoint.pt")
    run.train()
    export(run.averaged(), tokenizer, folder)
