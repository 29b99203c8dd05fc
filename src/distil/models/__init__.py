"""A model in this process, and nothing about training it. torch and transformers load when a function needs them.

Start at load.py, then render.py (chat -> token ids and answer mask), generate.py and export.py.
"""
