"""SmolLM2 as the teacher of a student with fewer of its layers: answers only, live, cached, and through a real vLLM server."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from real_bench import Bench, Json, command, markdown, settings
from real_lab import fewer_layers, smollm2, vllm_server
from real_tasks import alpaca_rows, make_project

LAYERS = 10  # of 30
EXAMPLES = 60
ARMS: dict[str, list[str]] = {
    "answers": settings(train__method="sft"),
    "live": settings(train__signal="online"),
    "cached": settings(train__signal="cached"),
    "server": settings(train__signal="server"),
}
COMMON = settings(
    train__temperature=1.0, train__epochs=2, train__learning_rate=3e-4, train__batch_size=8, train__log_steps=1
)


def signals(bench: Bench, engines: Sequence[str]) -> None:
    """Four students of one teacher on the same answers, and one step of the teacher as its own student."""
    project = make_project(bench, "signals", alpaca_rows(bench.data, EXAMPLES))
    teacher = smollm2(bench.lab)
    student = fewer_layers(teacher, bench.folder / f"smollm2-{LAYERS}-layers", LAYERS)
    here = ["--project", str(project)]
    whose = ["--set", f"train.teachers=[{{model: {teacher}}}]", *settings(student__model=student), *COMMON]
    logits = ["--set", "train.method=logits", *whose]

    bench.step("signals/cache", lambda: command("signals", "build", *logits, *here))
    for arm in ("answers", "live", "cached"):
        words = [*(whose if arm == "answers" else logits), *ARMS[arm]]
        bench.step(f"signals/{arm}", lambda a=arm, w=words: _train(project, a, w))
    if "vllm" not in engines or bench.has("signals/server", "signals/itself"):
        return
    with vllm_server(bench.lab, teacher, "teacher", bench.folder / "vllm-teacher.log", threads=bench.threads) as url:
        words = [*logits, *ARMS["server"], *settings(train__server=f"{url}/v1#teacher")]
        bench.step("signals/server", lambda: _train(project, "server", words))
        itself = [*words, *settings(student__model=teacher), "--max-steps", "1"]
        bench.step("signals/itself", lambda: _train(project, "itself", itself))


def _train(project: Path, name: str, words: Sequence[str]) -> Json:
    """One training: its result with the first and the last rows of its metrics."""
    result = command("train", "--as", name, *words, "--project", str(project))
    lines = (project / "work" / "train" / name / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return result | {"metrics": [json.loads(line) for line in lines]}


def signals_table(bench: Bench) -> str:
    """One line per source of the teacher's distributions."""
    rows = []
    for arm in (*ARMS, "itself"):
        if not bench.has(f"signals/{arm}"):
            continue
        found, step = bench.result(f"signals/{arm}"), bench.results[f"signals/{arm}"]
        row: list[object] = [arm]
        for key, place in (("distill", 0), ("distill", -1), ("agreement", -1), ("eval_kl", -1), ("eval_agreement", -1)):
            values = [line[key] for line in found["metrics"] if line.get(key) is not None]
            row.append(
                f"{values[place]:.2e}"
                if values and abs(values[place]) < 1e-3
                else f"{values[place]:.4f}"
                if values
                else "-"
            )
        rows.append(
            (*row, f"{found['validation_loss']:.3f}", f"{step['seconds']:.0f} s", "{:g} to {:g}".format(*step["load"]))
        )
    if not rows:
        return ""
    columns = "teacher|distill, first step|last step|agreement|eval KL|eval agreement|validation loss|training|load"
    cache = bench.result("signals/cache")
    about = (
        f"The cache: {cache['kind']}, {cache['tokens']:,} answer tokens, {cache['bytes_per_token']:.1f} bytes a token."
    )
    return f"{markdown(columns.split('|'), rows)}\n\n{about}"
