"""Training of the bundled tokenizer, teacher and student base: `python -m tools.bundled_models`, from the repository root.

A plain torch loop for these two small models only, outside the package; users' students are trained by `distil.train`.
"""
