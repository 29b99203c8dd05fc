"""Parquet and a `datasets` folder: messages as TRL reads them, with the lineage of each row in columns of its own."""

from __future__ import annotations

from distil.formats.format import Format, Limits
from distil.formats.rows import Line, Row
from distil.formats.trainers import TRL, trl_tools
from distil.formats.wire import only_keys, read_tools, read_turns, turn_wire

ABOUT = ("prompt_id", "answer_id", "teacher", "reference", "group")
"""Columns with the row's lineage."""


def to_line(row: Row) -> Line:
    """{"messages", "tools", "prompt_id", "answer_id", "teacher", "reference", "group"}; weights stay."""
    line: Line = {"messages": [turn_wire(turn) for turn in row.messages]}
    return line | trl_tools(row) | {name: row.about[name] for name in ABOUT if name in row.about}


def to_row(line: Line, key: str) -> Row:
    """The inverse of `to_line`. Raises ValueError."""
    only_keys(line, ("messages",), ("tools", *ABOUT))
    about = {name: str(line[name]) for name in ABOUT if line.get(name) is not None}
    turns = line["messages"]
    if isinstance(turns, list):  # a table has every field in every turn
        turns = [{name: value for name, value in turn.items() if value is not None} for turn in turns]
    return Row(read_turns(turns), tools=read_tools(line.get("tools")), key=key, about=about)


_HOLDS = TRL.holds.model_copy(update={"weight": True})
PARQUET = Format(
    name="parquet",
    title="Parquet with the lineage of each row",
    holds=_HOLDS,
    limits=Limits(),
    to_line=to_line,
    to_row=to_row,
    container="parquet",
)
DATASETS = Format(
    name="datasets",
    title="a folder for datasets.load_dataset, with a card",
    holds=_HOLDS,
    limits=Limits(),
    to_line=to_line,
    to_row=to_row,
    container="parquet",
    card=True,
)
