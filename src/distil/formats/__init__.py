"""The formats in which other trainers and providers take training data: one table of what each holds, its limits and its shape.

Pure: nothing here knows a project, a stage or a network. What a format can't hold is left out with a reason, never bent. For a
caller that writes and checks a file (`distil export`, fine-tuning at a provider):

    form = find_format("together")                                # UserError on an unknown name
    rows = [Row.of(example) for example in examples]              # rows.py; pairs: Row.of(example, rejected=Message(...))
    kept, left_out = convert_rows(form, rows)                     # convert.py: lines, and LeftOut(key, reason) for each other row
    check_lines(form, kept, "train")                              # check.py: a Report with rows, bytes, tokens, errors, warnings
    write_file(form, path, kept)                                  # write.py: atomic, in the format's encoding and container
    check_file(form, path, "train")                               # the same Report of a file that is there, whoever wrote it

`Report.errors` is empty when the provider's documented rules are met; `Report.require()` raises UserError otherwise. `form.holds`
(Capabilities) and `form.limits` (Limits, with their source and the day they were read) are the table of docs/exports.md.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from distil.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from distil.formats.format import Format

FORMATS: dict[str, str] = {
    "openai": "distil.formats.chat:OPENAI",
    "azure": "distil.formats.chat:AZURE",
    "together": "distil.formats.chat:TOGETHER",
    "fireworks": "distil.formats.chat:FIREWORKS",
    "bedrock": "distil.formats.clouds:BEDROCK",
    "gemini": "distil.formats.clouds:GEMINI",
    "trl": "distil.formats.trainers:TRL",
    "trl_prompt_completion": "distil.formats.trainers:TRL_PROMPT_COMPLETION",
    "trl_preference": "distil.formats.preference:TRL_PREFERENCE",
    "dpo": "distil.formats.preference:OPENAI_PREFERENCE",
    "prompt_completion": "distil.formats.trainers:PROMPT_COMPLETION",
    "sharegpt": "distil.formats.trainers:SHAREGPT",
    "alpaca": "distil.formats.trainers:ALPACA",
    "parquet": "distil.formats.tables:PARQUET",
    "datasets": "distil.formats.tables:DATASETS",
}
"""The format's name -> "module:object", loaded on use."""


def find_format(name: str) -> Format:
    """The format of that name. Raises UserError when there is none."""
    if name not in FORMATS:
        raise UserError(f"Format {name!r}: expected one of {', '.join(FORMATS)}.{did_you_mean(name, FORMATS)}")
    module, attribute = FORMATS[name].split(":")
    found: Format = getattr(importlib.import_module(module), attribute)
    return found
