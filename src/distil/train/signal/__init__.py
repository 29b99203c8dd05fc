"""Where the teacher's signal comes from: this process, the cache, a server. Start at sources.py."""
