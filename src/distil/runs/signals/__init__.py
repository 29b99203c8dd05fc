"""The format of cached teacher distributions. Start at store.py."""
