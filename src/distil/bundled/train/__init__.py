"""Training of the bundled tokenizer, teacher and student base: `python -m distil.bundled.train`.

A plain torch loop for these two small models only; students of users are trained by `distil.train`. Run by hand, once.
"""
