"""Distil: replace an expensive language model with a small one that you own, and prove that it is good enough.

Nothing is imported here, so that `import distil` costs nothing; each thing has one import path (see docs/architecture.md).
"""

__version__ = "0.1.0"
