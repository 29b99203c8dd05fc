"""`distil doctor`. Start at checks.py, the list of checks; evidence.py reads the project for them."""
