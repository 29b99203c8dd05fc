"""A model in this process, and nothing about training it. torch and transformers load when a function needs them.

Start at load.py, then render.py (chat -> token ids and answer mask) and generate.py. export.py writes a student for other
engines (parity.py checks it, gguf/ is llama.cpp's format); head.py and token_bytes.py read what losses and caches need.
"""
