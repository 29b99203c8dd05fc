"""`distil report`: one self-contained HTML page about the project, also while parts of it are missing.

Reads files only (manifests, summaries, metrics, the cost, the doctor's evidence) and writes work/report/index.html. All text from
the project is escaped, because answers may contain HTML.
"""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime
from pathlib import Path

import jinja2
from markupsafe import Markup

import distil
from distil.doctor import checks
from distil.doctor.evidence import Evidence
from distil.report import cases, formatting, tables, view
from distil.report.charts import Row
from distil.report.facts import Facts, gather
from distil.report.payload import pack
from distil.runs.artifacts import Project
from distil.runs.jsonl import write_lines
from distil.runs.manifest import stage_run
from distil.runs.schemas.interval import Interval
from distil.runs.schemas.notes import CollectNotes

HERE = Path(__file__).parent
STYLES = ("base.css", "explorer.css", "print.css")
SCRIPTS = (
    "text.js",
    "diff.js",
    "store.js",
    "list.js",
    "reader.js",
    "controls.js",
    "explorer.js",
    "theme.js",
    "start.js",
)
DECISIONS = {
    "SHIP": "can replace its teacher",
    "SHIP WITH FALLBACK": "can answer when it is confident, with the teacher as fallback",
    "NOT DECIDED": "is not proven good or bad",
    "DO NOT SHIP": "is not ready",
}


def build(project: Project) -> Path:
    """Writes work/report/index.html and returns its path. Raises UserError for a file that is there but broken."""
    with stage_run(project, "report", {}) as stage:
        evidence = Evidence(project)
        facts = gather(evidence, checks.examine(evidence))
        for path in facts.read:
            stage.reads(path)
        write_lines(project.report, [render(facts)])
        stage.wrote(project.report)
    return project.report


def render(facts: Facts) -> str:
    """The page as one string."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE / "templates"),
        autoescape=True,
        finalize=formatting.visible,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    js = '(function () {\n"use strict";\n' + "\n".join(_read("script", name) for name in SCRIPTS) + "})();\n"
    environment.filters |= formatting.FILTERS | {"figure_of": _figure_of, "half_of": _half_of, "signed": _signed}
    return environment.get_template("page.html.j2").render(
        facts=facts,
        css=Markup("\n".join(_read("style", name) for name in STYLES)),
        js=Markup(js),
        js_hash=Markup("sha256-" + base64.b64encode(hashlib.sha256(js.encode("utf-8")).digest()).decode("ascii")),
        packed=pack(lambda cut: cases.payload(facts.cases, cut)) if facts.cases else None,
        made=f"{datetime.now(UTC):%d %B %Y}",
        version=distil.__version__,
        **_first_screen(facts),
        **_quality(facts),
        **_details(facts),
    )


def _read(folder: str, name: str) -> str:
    return (HERE / folder / name).read_text(encoding="utf-8")


def _first_screen(facts: Facts) -> dict[str, object]:
    headline = facts.headline
    trained = any(key.startswith("train ") for key in facts.manifests)
    if trained:
        next_command = "distil evaluate"
    elif facts.funnel and facts.funnel.splits:
        next_command = "distil train"
    else:
        next_command = "distil curate" if facts.funnel else "distil collect"
    return {
        "tiles": view.key_numbers(facts),
        "trained": trained,
        "next_command": next_command,
        "metric_label": cases.metric_label(headline) if headline else "",
        "target": cases.target_of(headline) if headline else "",
        "headline": f"{DECISIONS[headline.verdict.decision]}: {headline.verdict.sentence}" if headline else "",
    }


def _quality(facts: Facts) -> dict[str, object]:
    headline = facts.headline
    if headline is None:
        return {"plots": [], "metric_models": [], "metric_rows": [], "field_models": [], "field_rows": []} | {
            "students": [], "sizes": {}, "speeds": {}
        }  # fmt: skip
    models, rows = tables.metric_table(headline)
    field_models, field_rows = tables.field_table(facts)
    sizes, speeds = dict(headline.size), dict(headline.speed)
    for summary in facts.summaries.values():
        sizes |= {k: v for k, v in summary.size.items() if k == summary.name}
        speeds |= {k: v for k, v in summary.speed.items() if k == summary.name}
    return {
        "plots": view.plots(facts),
        "metric_models": models,
        "metric_rows": rows,
        "field_models": field_models,
        "field_rows": field_rows,
        "students": list(facts.summaries),
        "sizes": sizes,
        "speeds": speeds,
    }


def _details(facts: Facts) -> dict[str, object]:
    packages: dict[str, str] = {}
    terms: list[str] = []
    for manifest in facts.manifests.values():
        packages |= manifest.packages
        terms += CollectNotes.of(manifest).terms if manifest.stage == "collect" else []
    teachers = facts.headline.teachers if facts.headline else ([facts.cost.teacher] if facts.cost else [])
    return {
        "curves": view.curve_plots(facts),
        "confidence": view.confidence_plot(facts.headline),
        "money": tables.money_rows(facts.cost) if facts.cost else [],
        "funnel": tables.funnel_rows(facts),
        "packages": packages,
        "terms": list(dict.fromkeys(terms)),
        "teachers": teachers,
    }


def _figure_of(value: float, metric: str, digits: int | None = None) -> str:
    if digits is None:
        return formatting.figure(metric, value)
    return formatting.percent(value, digits) if metric in formatting.SHARES else formatting.number(value, digits)


def _half_of(metric: str, row: Row) -> str:
    return formatting.half(metric, Interval(mean=row.mean, low=row.low, high=row.high, n=0))


def _signed(interval: Interval, metric: str) -> str:
    share = metric in formatting.SHARES
    value = 100 * interval.mean if share else interval.mean
    text = formatting.number(value, 1 if share else 3)
    return f"+{text}" if value > 0 else text
