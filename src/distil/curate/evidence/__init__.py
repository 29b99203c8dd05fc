"""What is known about each answer, and which answers are dropped for it: signals (signals.py), then thresholds (filters.py)."""
