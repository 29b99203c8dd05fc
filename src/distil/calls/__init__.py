"""Stage or floor `calls`: see docs/architecture.md."""
