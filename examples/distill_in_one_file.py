"""The whole idea in one file: collect a teacher's answers, train two students, and measure them on held-out prompts.

    python examples/distill_in_one_file.py             about four minutes on two CPU cores
    python examples/distill_in_one_file.py --small     half a minute, just to see it run

It uses only public functions. The stages add what is missing here: a ledger and a budget for paid teachers, curation, a split
without leakage, packing, resume, error bars, a verdict, prices, a gateway.
"""

from __future__ import annotations

import argparse
import random
import time

import torch

from distil.bundled.triage import SYSTEM, TriageExample, field_accuracy
from distil.bundled.triage import generate as generate_examples
from distil.models.generate import generate
from distil.models.load import Loaded, load
from distil.models.render import render, render_prompt
from distil.objectives.fused import fused_linear_distillation
from distil.objectives.shift import next_token_rows
from distil.objectives.targets import DenseTargets
from distil.records import Message, Sampling

TEMPERATURE, DISTILL_WEIGHT, LABEL_WEIGHT = 2.0, 0.7, 0.3  # the article's


def chat(message: str, reply: str | None = None) -> list[Message]:
    """A conversation: the task's system turn, the customer's message, and the answer, if given."""
    turns = [Message(role="system", content=SYSTEM), Message(role="user", content=message)]
    return turns if reply is None else [*turns, Message(role="assistant", content=reply)]


def answer(model: Loaded, examples: list[TriageExample], temperature: float) -> list[str]:
    """One answer per example."""
    prompts = [render_prompt(model.tokenizer, chat(e.message)) for e in examples]
    sampling = Sampling(temperature=temperature, max_tokens=80)
    return [g.text for g in generate(model, prompts, sampling, seed=0)]


def accuracy(answers: list[str], examples: list[TriageExample]) -> float:
    """Share of fields that match the reference."""
    right = [ok for text, e in zip(answers, examples, strict=True) for ok in field_accuracy(text, e.reference).values()]
    return sum(right) / len(right)


def batches(tokens: list[tuple[list[int], list[int]]], size: int, seed: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Shuffled (input ids, labels), each (B, T), rows of similar length together, right-padded; the label of padding is -100."""
    rng = random.Random(seed)
    order = sorted(range(len(tokens)), key=lambda i: (len(tokens[i][0]) // 8, rng.random()))
    result = []
    for start in range(0, len(order), size):
        rows = [tokens[i] for i in order[start : start + size]]
        longest = max(len(ids) for ids, _ in rows)
        ids = torch.tensor([r + [0] * (longest - len(r)) for r, _ in rows])  # (B, T)
        labels = torch.tensor([m + [-100] * (longest - len(m)) for _, m in rows])  # (B, T)
        result.append((ids, labels))
    rng.shuffle(result)
    return result


def hidden_states(model: Loaded, ids: torch.Tensor) -> torch.Tensor:
    """Final hidden states, (B, T, H). Right padding is harmless: a causal model does not attend to the right."""
    states: torch.Tensor = model.model.model(input_ids=ids).last_hidden_state
    return states


def train(student: Loaded, teacher: Loaded | None, data: list[tuple[list[int], list[int]]], epochs: int) -> None:
    """SFT on the answers (teacher None), or also on the teacher's full distribution at each answer token."""
    model = student.model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.01)
    steps = epochs * len(batches(data, 32, 0))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=2e-3, total_steps=steps, pct_start=0.1)
    for epoch in range(epochs):
        for ids, labels in batches(data, 32, epoch):
            rows, next_labels = next_token_rows(hidden_states(student, ids), labels)  # (B*T, H), (B*T,)
            targets = None
            if teacher is not None:
                with torch.no_grad():
                    teacher_rows, _ = next_token_rows(hidden_states(teacher, ids), labels)
                targets = DenseTargets(teacher_rows, teacher.model.get_output_embeddings().weight)
            loss = fused_linear_distillation(
                rows,
                model.get_output_embeddings().weight,
                targets,
                next_labels,
                temperature=TEMPERATURE,
                distill_weight=DISTILL_WEIGHT,
                label_weight=LABEL_WEIGHT if teacher is not None else 1.0,
            )
            optimizer.zero_grad()
            (loss.total / loss.count).backward()  # the loss is a sum; only the loop divides
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
    model.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--small", action="store_true", help="few prompts, one epoch: just to see it run")
    small = parser.parse_args().small
    examples = generate_examples(64 if small else 1200, seed=7)
    held_out = generate_examples(16 if small else 200, seed=7, split="test")
    teacher = load("bundled/teacher")

    start = time.monotonic()
    answers = answer(teacher, examples, temperature=0.7)  # the sampling of production
    print(f"The teacher answered {len(answers)} prompts in {time.monotonic() - start:.0f} s, such as {answers[0]}")
    data = []
    for example, text in zip(examples, answers, strict=True):
        rendered = render(teacher.tokenizer, chat(example.message, text))
        data.append((rendered.input_ids, rendered.labels))

    score = accuracy(answer(teacher, held_out, 0.0), held_out)
    print(f"{'teacher':10} {score:6.1%} of the fields of {len(held_out)} unseen messages")
    for name, signal in (("base", None), ("sft", None), ("logits", teacher)):
        torch.manual_seed(0)
        student = load("bundled/student")
        start = time.monotonic()
        if name != "base":
            train(student, signal, data, epochs=1 if small else 4)
        seconds = time.monotonic() - start
        print(f"{name:10} {accuracy(answer(student, held_out, 0.0), held_out):6.1%}   trained in {seconds:.0f} s")


if __name__ == "__main__":
    main()
