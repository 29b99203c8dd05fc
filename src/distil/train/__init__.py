"""Stage or floor `train`: see docs/architecture.md."""
