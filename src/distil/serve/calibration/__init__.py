"""The fallback threshold and its guarantee. Start at calibrate.py."""
