"""The gateway's page at `/`: who answers what, for how much, and whether the promise holds. board.py counts, routes.py serves."""
