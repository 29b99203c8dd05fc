"""`distil cost`. Start at stage.py; the formulas are in arithmetic.py."""
