"""Stage `collect`: every prompt is answered by every teacher, each answer paid for once.

Start at stage.py. The path of one answer:
    run.py             the order of the steps; a Ctrl-C or a reached budget keeps everything that came in
    questions.py       prompt x teacher x sample becomes a Question, whose answer id is known before it is paid for
    batched.py         teachers of the batch tier: what the ledger does not hold is bought in batches
    live.py            the other teachers: requests go through `Client`, which asks the ledger first and pays only once
    ordered_writer.py  the Answer goes to answers.jsonl, a Question without one to failures.jsonl, in the order of the prompts
    result.py          counts, dollars and reasons, for the command line and the manifest
Without asking: forecast.py (--dry-run), ledger_view.py (--rebuild), importing.py (--from-log), gateway.py (--from-gateway),
notices.py (settings and terms).
"""

from distil import callable_as_job

callable_as_job(__name__)
