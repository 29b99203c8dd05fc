"""`distil report`. Start at page.py; facts.py reads the project, view.py and tables.py shape what the templates show."""

from distil import callable_as_job

callable_as_job(__name__)
