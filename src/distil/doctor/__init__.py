"""`distil doctor`. Start at checks.py, the list of checks; evidence.py reads the project for them."""

from distil import callable_as_job

callable_as_job(__name__)
