"""Stage `curate`: what is trained on and what is held out.

Start with stage.py; filters.py, select.py and split.py are its steps.
"""
