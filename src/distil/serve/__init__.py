"""Stage or floor `serve`: see docs/architecture.md."""
