"""Stage or floor `doctor`: see docs/architecture.md."""
