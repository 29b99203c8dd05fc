"""`distil evaluate --lm-eval DIR`: results and samples in the layout of lm-evaluation-harness (`--output_path`, `--log_samples`).

DIR/NAME/results_TIME.json and DIR/NAME/samples_TASK_TIME.jsonl, as version 0.4 writes them. `distil evaluate --answers` reads the
samples back, those of the harness as well.
"""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

from distil.evaluate.exports.finished import Finished
from distil.evaluate.stats import standard_error
from distil.ids import canonical_json
from distil.records import Example, Prediction
from distil.runs.jsonl import write_json, write_lines

JsonObject = dict[str, object]
FILTER = "none"


def write_lm_eval(finished: Finished, folder: Path) -> list[Path]:
    """Writes both files and returns their paths."""
    moment = (finished.manifest.finished if finished.manifest else "unknown")[:19].replace(":", "-")
    place = folder / finished.summary.name
    task = "".join(sign if sign.isalnum() or sign in "._-" else "_" for sign in finished.task)
    results, samples = place / f"results_{moment}.json", place / f"samples_{task}_{moment}.jsonl"
    rows = [_sample(finished, number, *row) for number, row in enumerate(finished.rows)]
    write_lines(samples, (json.dumps(row) for row in rows))
    write_json(results, _results(finished, task))
    return [results, samples]


def _sample(finished: Finished, number: int, example: Example, prediction: Prediction) -> JsonObject:
    doc = {
        "prompt_id": example.prompt_id,
        "messages": [message.to_wire() for message in example.prompt_messages],
        "reference": example.reference,
        "teacher": example.answer,
        **({"group": example.group} if example.group else {}),
        **{name: value for name, value in example.fields.items() if name not in ("prompt_id", "messages")},
    }
    asked = canonical_json([message.to_wire() for message in example.prompt_messages])
    target = example.reference if example.reference is not None else example.answer
    values = {metric: score.value for metric, score in finished.scores.get(example.prompt_id, {}).items()}
    return {
        "doc_id": number,
        "doc": doc,
        "target": target,
        "arguments": {"gen_args_0": {"arg_0": asked, "arg_1": {}}},
        "resps": [[prediction.text]],
        "filtered_resps": [prediction.text],
        "filter": FILTER,
        "metrics": list(values),
        "doc_hash": _hash(canonical_json(doc)),
        "prompt_hash": _hash(asked),
        "target_hash": _hash(target),
        **values,
    }


def _hash(text: str) -> str:
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _results(finished: Finished, task: str) -> JsonObject:
    summary, manifest = finished.summary, finished.manifest
    metrics: JsonObject = {"alias": task}
    better: JsonObject = {}
    names = dict.fromkeys(metric for scores in finished.scores.values() for metric in scores)
    for metric in names:
        rows = [
            (found[metric].value, e.group)
            for e, _ in finished.rows
            if metric in (found := finished.scores[e.prompt_id])
        ]
        values = [value for value, _ in rows]
        error, _ = standard_error(values, [group for _, group in rows])
        metrics[f"{metric},{FILTER}"] = sum(values) / len(values)
        metrics[f"{metric}_stderr,{FILTER}"] = "N/A" if error != error else error
        info = summary.metrics.get(metric)
        better[metric] = info is None or info.better != "lower"
    count = len(finished.rows)
    return {
        "results": {task: metrics},
        "group_subtasks": {task: []},
        "configs": {
            task: {"task": task, "output_type": "generate_until", "metadata": {"verdict": summary.verdict.decision}}
        },
        "versions": {task: 1},
        "n-shot": {task: 0},
        "higher_is_better": {task: better},
        "n-samples": {task: {"original": count, "effective": count}},
        "config": {"model": "distil", "model_args": summary.name, "limit": None},
        "git_hash": None,
        "model_source": "distil",
        "model_name": summary.name,
        "model_name_sanitized": summary.name,
        "total_evaluation_time_seconds": None,
        "distil": {"version": manifest.tool_version if manifest else None, "why": summary.verdict.sentence},
    }
