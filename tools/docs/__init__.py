"""The documentation site: pages written by hand from docs/, the reference from the code, built into build/site (`make docs`)."""
