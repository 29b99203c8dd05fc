"""Continuous batching: rows of one model that join and leave between any two tokens, each with its own sampling."""
