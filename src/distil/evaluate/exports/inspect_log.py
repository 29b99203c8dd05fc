"""`distil evaluate --inspect FILE`: the evaluation as a log of inspect_ai, which `inspect view` and `read_eval_log` open.

FILE.json is one JSON document, FILE.eval a zip with a file for each sample (smaller, and read in parts). One sample for each test
prompt, one score for each metric, with the mean and the standard error of each. The log format is version 2 of inspect_ai.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

from distil.endings import Ending, ending
from distil.errors import UserError, WorkFailed
from distil.evaluate.exports.finished import Finished
from distil.evaluate.stats import standard_error
from distil.ids import content_id, now
from distil.records import Example, Message, Prediction, Score
from distil.runs.jsonl import write_json

JsonObject = dict[str, object]
LOG_VERSION = 2
STOP_REASONS: dict[Ending, str] = {"cut": "max_tokens", "refused": "content_filter", "fault": "unknown"}
SUMMARY_CHARACTERS = 1000


def write_inspect(finished: Finished, path: Path) -> int:
    """Writes the log and returns the number of samples. Raises UserError for another suffix than .json or .eval."""
    suffix = path.suffix.lower()
    if suffix not in (".json", ".eval"):
        raise UserError(
            f"--inspect {path}: expected a file that ends in .eval or .json, such as logs/{path.stem or 'log'}.eval."
        )
    samples = [_sample(finished, example, prediction) for example, prediction in finished.rows]
    header = _header(finished)
    if suffix == ".json":
        write_json(path, header | {"samples": samples})
    else:
        _write_zip(path, header, samples)
    return len(samples)


def _write_zip(path: Path, header: JsonObject, samples: list[JsonObject]) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
            start = {key: header[key] for key in ("version", "eval", "plan")}
            archive.writestr("_journal/start.json", _text(start))
            for sample in samples:
                archive.writestr(f"samples/{sample['id']}_epoch_{sample['epoch']}.json", _text(sample))
            archive.writestr("summaries.json", _text([_short(sample) for sample in samples]))
            archive.writestr("header.json", _text(header))
        temporary.replace(path)
    except OSError as error:
        raise WorkFailed(f"Could not write {path}: {error.strerror}. Choose another place and run again.") from error
    finally:
        temporary.unlink(missing_ok=True)


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=True)  # also lone surrogates, which a provider may send, can be written


def _header(finished: Finished) -> JsonObject:
    summary, manifest = finished.summary, finished.manifest
    created = manifest.finished if manifest else now("seconds")
    identity = content_id("eval", [finished.task, summary.name, created])
    return {
        "version": LOG_VERSION,
        "status": "success",
        "eval": {
            "eval_id": identity,
            "run_id": identity,
            "created": created,
            "task": finished.task,
            "task_id": content_id("task", finished.task),
            "task_version": 0,
            "dataset": {
                "name": "test prompts",
                "location": finished.project.relative(finished.project.split("test")),
                "samples": len(finished.rows),
                "sample_ids": [example.prompt_id for example, _ in finished.rows],
                "shuffled": False,
            },
            "model": summary.name,
            "config": {},
            "packages": dict(manifest.packages) if manifest else {},
            "metadata": {
                "verdict": summary.verdict.decision,
                "why": summary.verdict.sentence,
                "deciding_metric": summary.primary,
                "distil": manifest.tool_version if manifest else "",
            },
        },
        "plan": {"name": "plan", "steps": [], "config": {}},
        "results": {
            "total_samples": len(finished.rows),
            "completed_samples": len(finished.rows),
            "scores": [_metric(finished, metric) for metric in _metric_names(finished)],
        },
        "stats": {
            "started_at": manifest.started if manifest else created,
            "completed_at": created,
            "model_usage": {},
        },
    }


def _metric_names(finished: Finished) -> list[str]:
    """The deciding metric first, which the viewer shows first."""
    names = dict.fromkeys(metric for scores in finished.scores.values() for metric in scores)
    primary = finished.summary.primary
    return [primary, *(name for name in names if name != primary)] if primary in names else list(names)


def _metric(finished: Finished, metric: str) -> JsonObject:
    """Mean and clustered standard error over all samples that have the metric."""
    rows = [
        (finished.scores[example.prompt_id][metric].value, example.group)
        for example, _ in finished.rows
        if metric in finished.scores.get(example.prompt_id, {})
    ]
    values = [value for value, _ in rows]
    error, _ = standard_error(values, [group for _, group in rows])
    found: dict[str, float | None] = {"mean": sum(values) / len(values), "stderr": None if error != error else error}
    return {
        "name": metric,
        "scorer": metric,
        "params": {},
        "scored_samples": len(values),
        "unscored_samples": len(finished.rows) - len(values),
        "metrics": {
            name: {"name": name, "value": value, "params": {}} for name, value in found.items() if value is not None
        },
    }


def _stop_reason(prediction: Prediction) -> str:
    """In Inspect's vocabulary."""
    whole = "tool_calls" if prediction.tool_calls else "stop"
    return STOP_REASONS.get(ending(prediction.finish_reason), whole)


def _sample(finished: Finished, example: Example, prediction: Prediction) -> JsonObject:
    asked = [_message(message) for message in example.prompt_messages]
    answer = _message(Message(role="assistant", content=prediction.text, tool_calls=prediction.tool_calls or None))
    answer |= {"source": "generate", "model": finished.summary.name}
    metadata: JsonObject = {"group": example.group} if example.group else {}
    metadata |= dict(example.fields)
    if example.reference is not None:
        metadata["teacher_answer"] = example.answer
    return {
        "id": example.prompt_id,
        "epoch": 1,
        "input": asked,
        "target": example.reference if example.reference is not None else example.answer,
        "messages": [*asked, answer],
        "output": {
            "model": finished.summary.name,
            "choices": [{"message": answer, "stop_reason": _stop_reason(prediction)}],
            "completion": prediction.text,
            "usage": {
                "input_tokens": 0,
                "output_tokens": prediction.output_tokens,
                "total_tokens": prediction.output_tokens,
            },
            **({"time": prediction.latency_s} if prediction.latency_s is not None else {}),
        },
        "scores": {
            metric: _score(score, prediction) for metric, score in finished.scores.get(example.prompt_id, {}).items()
        },
        "metadata": metadata,
        "store": {},
        "events": [],
        "model_usage": {},
        "attachments": {},
    }


def _message(message: Message) -> JsonObject:
    """A turn in inspect's shape: the call's arguments are an object there, and content is never null."""
    turn: JsonObject = {"role": "system" if message.role == "developer" else message.role, "content": message.text}
    if message.tool_calls:
        turn["tool_calls"] = [_call(number, call) for number, call in enumerate(message.tool_calls)]
    if message.tool_call_id:
        turn["tool_call_id"] = message.tool_call_id
    return turn


def _call(number: int, call: dict[str, object]) -> JsonObject:
    function = call.get("function")
    named = function if isinstance(function, dict) else {}
    raw = named.get("arguments")
    try:
        arguments = json.loads(raw) if isinstance(raw, str) else raw
    except ValueError:
        arguments = None
    return {
        "id": str(call.get("id") or f"call_{number}"),
        "function": str(named.get("name") or "unknown"),
        "arguments": arguments if isinstance(arguments, dict) else {"arguments": raw},
        "type": "function",
    }


def _score(score: Score, prediction: Prediction) -> JsonObject:
    found: JsonObject = {"value": score.value, "answer": prediction.text}
    return found | ({"explanation": score.detail} if score.detail else {})


def _short(sample: JsonObject) -> JsonObject:
    """What the viewer's list shows of a sample."""
    turns, target = sample["input"], str(sample["target"])
    last = str(turns[-1]["content"]) if isinstance(turns, list) and turns else ""
    scores = sample["scores"]
    named = scores if isinstance(scores, dict) else {}
    return {
        "id": sample["id"],
        "epoch": sample["epoch"],
        "input": last[:SUMMARY_CHARACTERS],
        "target": target[:SUMMARY_CHARACTERS],
        "scores": {name: {"value": score["value"]} for name, score in named.items()},
        "completed": True,
    }
