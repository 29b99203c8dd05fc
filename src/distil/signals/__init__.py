"""Stage `signals`: caches a teacher's distributions once, so that it need not be in memory while the student learns.

Start at stage.py (build, verify, inspect). What is stored of a row is decided in draws.py, how it lies on disk in
distil.runs.signals.store and its neighbors, because training reads it from there.
"""
