"""Stage or floor `prompts`: see docs/architecture.md."""
