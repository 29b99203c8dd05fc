"""The files of a project. Start at artifacts.py, the map of all of them."""
