"""Classification: where targets are few different short texts, a report per label with the confusions.

For whole answers and for every field of JSON answers. Not the statistics of the verdict; the schema is runs/schemas/labels.py.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Literal

from distil.fields import leaves
from distil.final_answer import LABEL_LENGTH, LABEL_WORDS, are_labels
from distil.records import Example, Prediction
from distil.runs.schemas.labels import Confusion, LabelReport, LabelRow
from distil.text import Json, normalize_answer, parse_answer, parse_object

CONFUSIONS, INVENTED = 50, 20
OTHER, MISSING, NO_JSON = "(other text)", "(missing)", "(no JSON)"

Against = Literal["reference", "teacher"]


def label_reports(examples: Sequence[Example], predictions: Mapping[str, Sequence[Prediction]]) -> list[LabelReport]:
    """A report for every model and every kind of label; empty where targets are not labels. The teacher is not its own target."""
    against: Against = (
        "reference" if 5 * sum(e.reference is not None for e in examples) >= 4 * len(examples) else "teacher"
    )
    targets = {e.prompt_id: (e.reference if against == "reference" else e.answer) or "" for e in examples}
    models = [model for model in predictions if against == "reference" or model != "teacher"]
    reports = []
    whole = {i: target for i, target in targets.items() if target.strip() and parse_answer(target) is None}
    if 5 * len(whole) >= 4 * len(targets) and are_labels(list(whole.values())):
        for model in models:
            answers = {row.prompt_id: _short(row.text) for row in predictions[model] if row.prompt_id in whole}
            reports.append(report(whole, answers, model=model, field=None, against=against))
    return reports + _field_reports(targets, {model: predictions[model] for model in models}, against)


def _field_reports(
    targets: Mapping[str, str], predictions: Mapping[str, Sequence[Prediction]], against: Against
) -> list[LabelReport]:
    columns: dict[str, dict[str, str]] = defaultdict(dict)
    for prompt, target in targets.items():
        for path, value in leaves(parse_object(target) or {}).items():
            if (label := _written(value)) is not None:
                columns[path][prompt] = label
    columns = {
        path: column
        for path, column in columns.items()
        if 2 * len(column) >= len(targets) and are_labels(list(column.values()))
    }
    if not columns:
        return []
    reports = []
    for model, rows in predictions.items():
        found = {row.prompt_id: parse_object(row.text) for row in rows}
        flat = {prompt: None if value is None else leaves(value) for prompt, value in found.items()}
        for path, column in columns.items():
            answers = {prompt: _field(value, path) for prompt, value in flat.items() if prompt in column}
            reports.append(report(column, answers, model=model, field=path, against=against))
    return reports


def label_of(text: str, field: str | None) -> str:
    """The label that an answer gives, as it is written: the whole answer, or one field of its JSON object."""
    if field is None:
        return _short(text)
    found = parse_object(text)
    return _field(None if found is None else leaves(found), field)


def _field(found: Mapping[str, Json] | None, path: str) -> str:
    if found is None:
        return NO_JSON
    if path not in found:
        return MISSING
    return _short(_written(found[path]) or OTHER)


def _written(value: Json) -> str | None:
    """A scalar as text (true is `true`, null is `null`); None for lists and objects."""
    return value if isinstance(value, str) else None if isinstance(value, (list, dict)) else json.dumps(value)


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text.split()) <= LABEL_WORDS and len(text) <= LABEL_LENGTH else OTHER


def report(
    targets: Mapping[str, str], answers: Mapping[str, str], *, model: str, field: str | None, against: Against
) -> LabelReport:
    """Compares answers with targets (prompt id -> label) where both are there."""
    written: dict[str, Counter[str]] = defaultdict(Counter)
    for target in targets.values():
        written[normalize_answer(target)][" ".join(target.split())] += 1
    names = {key: forms.most_common(1)[0][0] for key, forms in written.items()}
    pairs = Counter((normalize_answer(targets[i]), normalize_answer(answers[i])) for i in targets if i in answers)
    spelled: dict[str, str] = {}
    for answer in answers.values():
        spelled.setdefault(normalize_answer(answer), answer)
    support, given = Counter[str](), Counter[str]()
    for (target, answer), count in pairs.items():
        support[target] += count
        given[answer] += count
    rows = [_row(names[key], pairs[key, key], support[key], given[key]) for key, _ in support.most_common()]
    wrong = [(target, answer, count) for (target, answer), count in pairs.most_common() if target != answer]
    marks = {OTHER, MISSING, NO_JSON}
    invented = Counter({spelled[a]: n for a, n in given.items() if a not in names and spelled[a] not in marks})
    total = pairs.total()
    return LabelReport(
        model=model,
        field=field,
        against=against,
        n=total,
        accuracy=sum(pairs[key, key] for key in names) / total if total else 0.0,
        macro_f1=sum(row.f1 for row in rows) / len(rows) if rows else 0.0,
        labels=rows,
        confusions=[
            Confusion(target=names[target], answer=names.get(answer, spelled[answer]), count=count)
            for target, answer, count in wrong[:CONFUSIONS]
        ],
        invented=dict(invented.most_common(INVENTED)),
    )


def _row(label: str, right: int, support: int, given: int) -> LabelRow:
    return LabelRow(
        label=label,
        precision=right / given if given else 0.0,
        recall=right / support if support else 0.0,
        f1=2 * right / (support + given) if support + given else 0.0,
        support=support,
        given=given,
    )
