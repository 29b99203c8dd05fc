"""Bytes and gradient angle of sampled signals by number of draws, on a real model over GPT-4's answers.

    python benchmarks/signal_draws.py LAB/smollm2/hf DATA/alpaca_eval/gpt4.jsonl

The student is the teacher without its layers 20 to 28. The angle is between the gradients of forward KL with respect to the
student's final hidden states, sampled against dense: what the body of the student receives.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import torch

from distil.models.load import load
from distil.models.render import render_prompt
from distil.records import Message
from distil.runs.signals.codec import Layout, encode
from distil.signals.draws import sampled_rows, uniforms

DRAWS, TEMPERATURES, ANSWERS, TOKENS = (12, 16, 20, 24, 40), (1.0, 2.0), 3, 50


def states(folder: str, answers: str) -> tuple[list[tuple[Any, Any]], Any]:
    """Final hidden states (teacher, student) of each answer's rows, and the head."""
    loaded = load(folder, dtype="float32", device="cpu")
    model, found = loaded.model, []
    layers = model.model.layers
    with open(answers, encoding="utf-8") as file:
        rows = [json.loads(line) for line in file][: ANSWERS * 8 : 8]
    with torch.inference_mode():
        for row in rows:
            prompt = render_prompt(loaded.tokenizer, [Message(role="user", content=row["prompt"])])
            ids = torch.tensor([prompt + loaded.tokenizer(row["output"])["input_ids"][:TOKENS]])
            sides = []
            for kept in (layers, torch.nn.ModuleList([*layers[:20], *layers[29:]])):
                model.model.layers, model.config.num_hidden_layers = kept, len(kept)
                sides.append(model.model(input_ids=ids, use_cache=False).last_hidden_state[0, len(prompt) - 1 : -1])
            found.append((sides[0], sides[1]))
        return found, model.lm_head.weight.detach()


def main(folder: str, answers: str) -> None:
    """Prints one line for each temperature and number of draws."""
    found, head = states(folder, answers)
    count = sum(len(teacher) for teacher, _ in found)
    layout = Layout("sampled", (head.shape[0] - 1).bit_length(), 1)
    for temperature in TEMPERATURES:
        for draws in DRAWS:
            size, ids, pairs = 0, 0, []
            for number, (teacher, student) in enumerate(found):
                logits = teacher @ head.T
                p, q = (logits / temperature).softmax(-1), (student @ head.T / temperature).softmax(-1)
                random = uniforms(str(number), len(teacher), draws, draw="systematic", seed=0, number=0)
                rows = sampled_rows(logits, random, temperature)
                kept = torch.as_tensor(rows.ids >= 0)
                counts = torch.as_tensor(rows.values) * kept
                t = torch.zeros_like(p).scatter_add_(1, torch.as_tensor(rows.ids).clamp(min=0), counts / draws)
                size, ids = size + len(encode(rows, layout)), ids + int(kept.sum())
                pairs.append(((t - q) @ head, (p - q) @ head))
            sampled, dense = (torch.cat(side) for side in zip(*pairs, strict=True))
            cosine = (sampled * dense).sum() / (sampled.norm() * dense.norm())
            line = f"T {temperature} draws {draws}: {size / count:.1f} bytes, {ids / count:.1f} ids a token"
            sys.stdout.write(f"{line}, angle {float(cosine.acos().rad2deg()):.1f} degrees\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
