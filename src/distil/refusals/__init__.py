"""Answers that decline, or speak of themselves as a model: how surely, and what is left without the empty opening.

The one home for all stages. Standard library only; rules over the first sentences, not a model.
"""
