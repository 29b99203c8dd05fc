"""Stage or floor `report`: see docs/architecture.md."""
