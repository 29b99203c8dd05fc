"""Stage or floor `cost`: see docs/architecture.md."""
