"""`distil report`. Start at page.py; facts.py reads the project, view.py and tables.py shape what the templates show."""
