"""Stage or floor `objectives`: see docs/architecture.md."""
