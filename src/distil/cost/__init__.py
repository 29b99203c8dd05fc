"""`distil cost`. Start at stage.py; the formulas are in arithmetic.py."""

from distil import callable_as_job

callable_as_job(__name__)
