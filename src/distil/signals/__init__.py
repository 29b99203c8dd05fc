"""Stage `signals`: caches a teacher's distributions once, so that it need not be in memory while the student learns.

Start at stage.py (build, verify, inspect). draws.py decides what is stored of a row; distil.runs.signals holds the format on
disk, because training reads it from there.
"""
