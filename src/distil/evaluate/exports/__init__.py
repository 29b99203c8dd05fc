"""A finished evaluation for other readers: Markdown for a pull request, an inspect_ai log, samples of lm-evaluation-harness.

Each file writes one format with a few lines of its own; the other tools need not be installed.
"""
