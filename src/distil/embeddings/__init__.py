"""Texts as vectors of all-MiniLM-L6-v2, offline, each text embedded once per project. Needs `distil[evaluate]`."""
