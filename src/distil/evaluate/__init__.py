"""Stage or floor `evaluate`: see docs/architecture.md."""
