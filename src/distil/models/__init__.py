"""Stage or floor `models`: see docs/architecture.md."""
