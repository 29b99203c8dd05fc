"""Measure a bundled model: field accuracy on unseen test messages, and copying by itself.

The final numbers go to the model card. Everything is measured on generated text, nothing on teacher-forced tokens.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from distil.bundled.triage import FIELDS, SYSTEM, TriageExample, field_accuracy, generate
from tools.bundled_models.skills import Document, copying, domain
from tools.bundled_models.skills.documents import ASSISTANT, BOS, END, USER


def answers(
    model: Any, tokenizer: Any, prompts: Sequence[str], *, temperature: float = 0.0, max_tokens: int = 80, seed: int = 0
) -> list[str]:
    """What the model writes after each prompt text (special tokens included in the prompt), greedy at temperature 0."""
    import torch

    torch.manual_seed(seed)
    order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
    written = [""] * len(prompts)
    sampling = (
        {"do_sample": True, "temperature": temperature, "top_k": 0, "top_p": 1.0}
        if temperature > 0
        else {"do_sample": False}
    )
    for start in range(0, len(order), 64):
        part = order[start : start + 64]
        batch = tokenizer(
            [prompts[index] for index in part],
            return_tensors="pt",
            padding=True,
            padding_side="left",
            add_special_tokens=False,
        )
        with torch.no_grad():
            ids = model.generate(
                input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], max_new_tokens=max_tokens,
                eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, **sampling,
            )  # fmt: skip
        for index, row in zip(part, ids[:, batch["input_ids"].shape[1] :], strict=True):
            written[index] = tokenizer.decode(row, skip_special_tokens=True)
    return written


def task_prompt(tokenizer: Any, message: str) -> str:
    """The chat that asks the bundled task of a message, up to where the answer begins."""
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": message}]
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert isinstance(text, str)
    return text


def task_scores(
    model: Any, tokenizer: Any, examples: Sequence[TriageExample], *, temperature: float = 0.0, seed: int = 0
) -> dict[str, float]:
    """Accuracy of each field, their mean under "fields", and the share of wholly right answers under "all"."""
    written = answers(
        model, tokenizer, [task_prompt(tokenizer, e.message) for e in examples], temperature=temperature, seed=seed
    )
    right = [field_accuracy(text, example.reference) for text, example in zip(written, examples, strict=True)]
    scores = {name: sum(row[name] for row in right) / len(right) for name in FIELDS}
    scores["fields"] = sum(scores.values()) / len(FIELDS)
    scores["all"] = sum(all(row.values()) for row in right) / len(right)
    numbered = [
        row["order_id"]
        for row, example in zip(right, examples, strict=True)
        if example.reference["order_id"] is not None
    ]
    scores["order_id_present"] = sum(numbered) / max(1, len(numbered))
    return {name: round(score, 4) for name, score in scores.items()}


def _exact(model: Any, tokenizer: Any, documents: Sequence[Document]) -> float:
    prompts, wanted = [], []
    for doc in documents:
        head, _, answer = doc.text().rpartition(ASSISTANT)
        prompts.append(head + ASSISTANT)
        wanted.append(answer.removesuffix(END))
    written = answers(model, tokenizer, prompts)
    return round(sum(text == answer for text, answer in zip(written, wanted, strict=True)) / len(wanted), 4)


def copying_scores(model: Any, tokenizer: Any, n: int = 64, seed: int = 0) -> dict[str, float]:
    """Exact matches on fresh random strings (echo, lookup, needle) and on the order's number in training-split messages."""
    scores = {}
    skills = {
        "echo": copying.echo,
        "lookup": copying.lookup,
        "needle": copying.needle,
        "order_number": domain.order_number,
    }
    for name, skill in skills.items():
        rng = random.Random(f"copying/{name}/{seed}")
        documents: list[Document] = []
        while len(documents) < n:
            doc = skill(rng)
            if ASSISTANT in doc.text():
                documents.append(doc)
        scores[name] = _exact(model, tokenizer, documents)
    return scores


def reading_scores(model: Any, tokenizer: Any, n: int = 64, seed: int = 0) -> dict[str, float]:
    """Questions about training-split messages, answered in plain words: the share of answers that fit, per question."""
    scores = {}
    for name in domain.NOTES:
        rng = random.Random(f"reading/{name}/{seed}")
        asked = [domain.asked(rng, name) for _ in range(n)]
        prompts = [BOS + f"{USER}{message}\n{question}{END}{ASSISTANT}" for message, question, _ in asked]
        written = answers(model, tokenizer, prompts, max_tokens=24)
        scores[name] = round(sum(text in fitting for text, (_, _, fitting) in zip(written, asked, strict=True)) / n, 4)
    return scores


def unseen_examples(n: int, seed: int = 20_000) -> list[TriageExample]:
    """Unseen test messages for measuring; the demo's own 200 come from other seeds."""
    return generate(n, seed=seed, split="test")
