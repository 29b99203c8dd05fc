"""Statistics that several stages rely on. The rest of an evaluation's is in distil/evaluate/stats/."""
