"""What people have: the one reader of prompt files, data sets and logs, for every stage.

Start at rows.py: `read_row` takes a row apart into what was asked and what was answered. files.py opens containers (JSON Lines,
JSON, CSV, TXT, Parquet, folders of `datasets`, also compressed); requests.py and replies.py know the shapes of providers,
turns.py and parts.py those of single turns, traces.py the records of logging tools, columns.py plain tables. All of them are
listed in docs/data_formats.md.
"""
