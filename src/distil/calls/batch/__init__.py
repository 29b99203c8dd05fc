"""Half-price batch jobs: submitted as files, polled for hours, resumed after a restart, never paid twice.

Start at run.py. One file per vendor's API; job.py is what is remembered on disk. Not for live requests.
"""
