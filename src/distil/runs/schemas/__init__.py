"""The typed content of the files that one stage writes and others read: a file per subject.

Records that many files share are in distil/records.py; distil/runs/artifacts.py names the record of each file.
"""
