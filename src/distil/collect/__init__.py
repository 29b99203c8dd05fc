"""Stage or floor `collect`: see docs/architecture.md."""
