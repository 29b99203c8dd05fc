"""Stage `evaluate`: student, base and teacher on the held-out test prompts, with error bars and a decision to ship or not.

Start at stage.py. It gathers answers (predictions.py: local models in local.py, APIs in remote.py), scores them (scoring.py with
the table in metrics.py), summarizes the scores (aggregate.py with the formulas in stats/) and decides (verdict.py).
"""

from distil import callable_as_job

callable_as_job(__name__)
