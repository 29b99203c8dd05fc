"""`distil forecast`: last month's requests replayed on paper, before anything is spent.

Start at replay.py. traffic.py reads and prices the log (prices.py, times.py), slices.py finds the kinds of requests, answers.py
says what their answers are like, proxy.py predicts them from the prompts (features.py, copying.py), agreement.py asks how far the
teacher agrees with itself, quality.py counts how many a student would answer, money.py what that saves, and advice.py says why.
docs/forecast.md has the method.
"""

from distil import callable_as_job

callable_as_job(__name__)
