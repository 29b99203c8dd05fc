"""Stage `signals`: caches a teacher's distributions once, so that it need not be in memory while the student learns.

Start at stage.py (build, verify, inspect). The format on disk is in distil.runs.signals, because training reads it.
"""
