"""`distil report`: one self-contained HTML page about the project, also while parts of it are missing.

Reads files only (manifests, summaries, metrics, the cost, the doctor's evidence) and writes work/report/index.html. All text from
the project is escaped, because answers may contain HTML.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import jinja2
from markupsafe import Markup

import distil
from distil.doctor import checks
from distil.doctor.evidence import Evidence
from distil.pages.document import files, program, scripts, styles
from distil.report import cases, formatting, guards, hero, losses, money, rounds, rows, view
from distil.report.facts import Facts, gather
from distil.report.payload import pack
from distil.runs.artifacts import Project
from distil.runs.jsonl import write_lines
from distil.runs.manifest import stage_run
from distil.runs.schemas.decision import Decision
from distil.runs.schemas.notes import CollectNotes

HERE = Path(__file__).parent
STYLES = ("hero.css", "charts.css")
SCRIPTS = ("store.js", "list.js", "reader.js", "controls.js", "explorer.js", "start.js")
STATEMENTS: dict[Decision, str] = {
    "SHIP": "can replace its teacher",
    "SHIP WITH FALLBACK": "can answer what it is sure of, with the teacher for the rest",
    "NOT DECIDED": "may be good enough, or not: the evidence can't tell",
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
        finalize=formatting.shown,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= formatting.FILTERS
    known = facts.cases
    own = files(HERE / "script", SCRIPTS)
    script, allowed = program("\n".join([scripts("text.js", "diff.js", "theme.js"), own]))
    own_style, on_paper = files(HERE / "style", STYLES), files(HERE / "style", ["print.css"])
    style = "\n".join([styles("base.css"), own_style, styles("explorer.css"), on_paper])
    return environment.get_template("page.html.j2").render(
        facts=facts,
        css=Markup(style),
        js=Markup(script),
        js_hash=Markup(allowed),
        packed=pack(lambda cut: rows.payload(known, cut)) if known else None,
        made=f"{datetime.now(UTC):%d %B %Y}",
        version=distil.__version__,
        tiles=view.key_figures(facts),
        rounds=rounds.section(facts.bought),
        **_first_screen(facts),
        **_money(facts),
        **_quality(facts),
        **_details(facts),
    )


def _first_screen(facts: Facts) -> dict[str, object]:
    headline = facts.headline
    trained = any(key.startswith("train ") for key in facts.manifests)
    if trained:
        next_command = "distil evaluate"
    elif facts.funnel and facts.funnel.splits:
        next_command = "distil train"
    else:
        next_command = "distil curate" if facts.funnel else "distil collect"
    context: dict[str, object] = {"trained": trained, "next_command": next_command}
    if headline is None:
        return context | {"hero": None, "metric_label": "", "target": ""}
    sentence = headline.verdict.sentence
    return context | {
        "look": hero.LOOK[headline.verdict.decision],
        "statement": STATEMENTS[headline.verdict.decision],
        "steps_say_how_many": any("prompts" in step for step in headline.verdict.next_steps),
        "sentence": sentence[:1].upper() + sentence[1:],
        "hero": hero.number_line(headline, facts.summaries, facts.baselines),
        "metric_label": cases.metric_label(headline),
        "target": cases.target_of(headline),
    }


def _money(facts: Facts) -> dict[str, object]:
    headline, cost = facts.headline, facts.cost
    fits = cost is None or headline is None or money.is_about(cost, facts.cost_student, headline.name)
    scatter = None
    if headline and fits:
        priced = money.prices(cost, headline.name, facts.summaries)
        calibration = facts.calibrations.get(headline.name)
        scatter = money.quality_over_money(headline, facts.summaries, facts.baselines, priced, calibration)
    return {
        "cost_fits": fits,
        "scatter": scatter,
        "bills": money.bills(cost, headline) if cost and fits else [],
        "tornado": money.tornado(cost) if cost and fits else [],
        "by_share": money.by_share(cost) if cost and fits else None,
        "confidence": view.confidence_plot(headline),
        "frontiers": {name: view.frontier_plot(one) for name, one in facts.calibrations.items()},
    }


def _quality(facts: Facts) -> dict[str, object]:
    headline = facts.headline
    if headline is None:
        return {}
    models, table = view.metric_table(headline)
    sizes, speeds = dict(headline.size), dict(headline.speed)
    for summary in facts.summaries.values():
        sizes |= {k: v for k, v in summary.size.items() if k == summary.name}
        speeds |= {k: v for k, v in summary.speed.items() if k == summary.name}
    return {
        "loss_groups": losses.groups(headline, facts.cases),
        "confusions": losses.confusion_chips(headline),
        "guards": guards.guard_rows(headline),
        "likeness": view.likeness(facts),
        "metric_models": models,
        "metric_rows": table,
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
        "splits": view.splits_bar(facts),
        "commands": view.commands(facts),
        "packages": packages,
        "terms": list(dict.fromkeys(terms)),
        "teachers": teachers,
    }
