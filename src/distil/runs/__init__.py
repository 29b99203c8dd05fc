"""Floor 2: the files of a project. Start with artifacts.py, the map of all of them."""
