"""What the Tab key offers: students of the project, and the keys of distil.yaml. How to switch it on: docs/install.md."""

from __future__ import annotations

from pathlib import Path

import click


def students(context: click.Context, parameter: click.Parameter, begun: str) -> list[str]:
    """Names of trained and of evaluated students in the project that --project names, or here."""
    from distil.runs.artifacts import Project

    given = context.params.get("project") or "."
    project = Project(given[0] if isinstance(given, tuple) else Path(given))
    return sorted({name for name in [*project.students(), *project.evaluated()] if name.startswith(begun)})


def settings(context: click.Context, parameter: click.Parameter, begun: str) -> list[str]:
    """Keys such as train.epochs=, with the equals sign; nothing after it."""
    from distil.config_file import known_settings

    return [f"{key}=" for key in known_settings() if key.startswith(begun)]


def keys(context: click.Context, parameter: click.Parameter, begun: str) -> list[str]:
    """Sections and keys."""
    from distil.config_file import known_settings

    found = known_settings()
    sections = dict.fromkeys(key.partition(".")[0] for key in found)
    return [name for name in [*sections, *found] if name.startswith(begun)]
