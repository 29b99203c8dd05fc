"""Stage `curate`: which answers are trained on and which prompts are held out. Pure functions in a straight line.

Start at stage.py. The path of one answer:
    select.py    joined with its prompt; passes or fails the filters
    filters.py   the filters, with facts about all answers from corpus.py; scripts.py and secrets.py are filters' details
    choose.py    one answer per prompt
    similar.py   near-duplicates of other rows are dropped, on the sets of shingles.py
    split.py     train, validation or test, so that no prompt leaks into another split
    stage.py     written to work/curate/*.jsonl; every dropped answer to dropped.jsonl, with the reason
export.py writes the result in the formats of others (distil.formats), preferences.py finds pairs for it, destination.py
overwrites nothing of others, card.py describes a data set.
"""

from distil import callable_as_job

callable_as_job(__name__)
