"""What a person should know about how the teachers are asked, before the first dollar is spent. Nothing is refused here.

Pure, one line each. Used by work.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from distil.calls.config import TeacherConfig
from distil.calls.providers.catalog import open_keyless, parse_model
from distil.collect.questions import Question


def remarks(first: Question, teachers: Sequence[TeacherConfig], samples: int, root: Path) -> Iterator[str]:
    """The lines. `first`: any ask, for the shape of a request."""
    for teacher in teachers:
        left_out = _left_out(first, teacher, root)
        if left_out:
            # Settings that a model refuses are not sent; silence about that would be a lie about how it was asked.
            yield f"{teacher.model} takes no {', '.join(left_out)}: left out of the requests."
        ref = parse_model(teacher.model)
        if ref.prefix == "local" and not (root / ref.name).exists():
            yield f"{teacher.model}: there is no folder {root / ref.name}, so it is looked for on the Hugging Face hub."
        if samples > 1 and teacher.sampling.temperature == 0 and "temperature" not in left_out:
            yield (
                f"{teacher.model} is asked {samples} times for each prompt at temperature 0: the answers will hardly differ, and "
                "each is paid for. Raise sampling.temperature, or set collect.samples to 1."
            )


def _left_out(first: Question, teacher: TeacherConfig, root: Path) -> list[str]:
    if parse_model(teacher.model).local:
        return []
    ignored = getattr(open_keyless(teacher, root).replicas[0], "ignored", None)
    names: list[str] = ignored(first._replace(teacher=teacher).request()) if ignored else []
    return names
