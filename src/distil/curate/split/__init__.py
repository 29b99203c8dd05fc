"""Which prompts are trained on, which are watched during training, and which are tested: a split without leakage.

Files, in reading order:
    partition.py       start here: rows in, a side for each prompt out; what the split remembers
    links.py           what rows share: texts, groups, documents, turns of a conversation, written prompts
    components.py      union-find, and the edges between rows
    templates.py       one form fills a tenth of the data: rows are compared by the part that differs
    assign.py          the rules: fixed, remembered, joined, drawn; what crosses is dropped
    fill.py            new components draw their side
    sides.py           work/curate/sides.jsonl
    meaning.py         pairs with the same meaning, and the leakage that remains by meaning
    contamination.py   training rows that repeat a benchmark are dropped
"""
