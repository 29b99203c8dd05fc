"""`distil cost`: the bill before and after.

Start at stage.py. requests.py prices each request of facts.py, options.py puts the ways side by side with the formulas of
arithmetic.py, sampling.py says how much the figures vary, student.py and student_tokens.py what the student costs and writes.
"""

from distil import callable_as_job

callable_as_job(__name__)
