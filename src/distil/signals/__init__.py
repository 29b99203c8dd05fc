"""Stage or floor `signals`: see docs/architecture.md."""
