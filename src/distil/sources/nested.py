"""Files that hold their rows inside one object: `{"data": [...]}`, `{"train": [...], "test": [...]}`, traces of OpenTelemetry."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from distil.sources.values import Row, objects

LISTS = (
    *(
        "data",
        "rows",
        "items",
        "examples",
        "instances",
        "records",
        "samples",
        "results",
        "requests",
        "responses",
        "prompts",
    ),
    *("questions", "logs", "runs", "spans", "observations", "events", "generations", "traces", "dataset"),
)
"""Keys under which an object without a prompt of its own keeps its rows."""
SPLITS = {"train": None, "validation": "validation", "valid": "validation", "dev": "validation", "test": "test"}
_OWN = (
    "prompt",
    "messages",
    "conversations",
    "input",
    "instruction",
    "question",
    "text",
    "request",
    "body",
    "contents",
)


def unfold(rows: Iterable[Row], levels: int = 3) -> Iterator[Row]:
    """Each row, or the rows that it holds."""
    for row in rows:
        held = _held(row) if levels else None
        if held is None:
            yield row
        else:
            yield from unfold(held, levels - 1)


def _held(row: Row) -> list[Row] | None:
    fields = row.fields
    if any(key in fields for key in _OWN):
        return None
    if isinstance(fields.get("resourceSpans"), list):
        return _spans(row)
    inner = fields.get("row")
    if isinstance(inner, dict) and "row_idx" in fields:  # a page of the Hugging Face datasets server
        return [Row(row.where, inner)]
    splits = [key for key in fields if key in SPLITS and objects(fields[key])]
    if splits:
        return [
            Row(f"{row.where}, {key}.{index}", ({"split": SPLITS[key]} if SPLITS[key] else {}) | item)
            for key in splits
            for index, item in enumerate(objects(fields[key]), start=1)
        ]
    for key in LISTS:
        value = fields.get(key)
        if isinstance(value, list) and value and all(isinstance(item, (dict, str)) for item in value):
            return [
                Row(f"{row.where}, {key}.{index}", item if isinstance(item, dict) else {"prompt": item})
                for index, item in enumerate(value, start=1)
            ]
    return None


def _spans(row: Row) -> list[Row]:
    """Of OTLP's JSON: resourceSpans, scopeSpans, spans."""
    found = list[Row]()
    for resource in objects(row.fields["resourceSpans"]):
        for scope in objects(resource.get("scopeSpans")):
            for span in objects(scope.get("spans")):
                found.append(Row(f"{row.where}, span {len(found) + 1}", span))
    return found
