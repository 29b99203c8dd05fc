"""Stage or floor `curate`: see docs/architecture.md."""
