"""Layer 2: a project's files. Start at artifacts.py, the map of them; manifest.py decides what is done or stale."""
