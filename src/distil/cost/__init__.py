"""Stage `cost`: the bill before and after, and when distillation pays back. arithmetic.py is pure; stage.py reads the folder."""
