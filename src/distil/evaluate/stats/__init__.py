"""The statistics of a verdict: intervals, tests and sample sizes for scores of the same prompts. Nothing here reads files.

    estimates.py   what is returned; groups
    bounded.py     bounds for means of bounded values that hold for few prompts, rare errors and whole groups failing together
    means.py       one model: a mean with its interval
    pairs.py       two models: difference, non-inferiority, retention; corrections for several questions
    planning.py    how many prompts would be enough

Not a statistics library: only what the evaluation, the comparison of students and the doctor say. Values are one float per
prompt; `groups` (one label per prompt, or None) marks prompts that are not independent of each other. `confidence` is two-sided.
Measured error, coverage and power: docs/results_verdict.md.
"""

from distil.evaluate.stats.estimates import (
    Bounds,
    Estimate,
    Floats,
    NonInferiority,
    Paired,
    bounds_of,
    clusters,
    interval_of,
)
from distil.evaluate.stats.means import mean_interval, standard_error, summarize, t_quantile, wilson
from distil.evaluate.stats.pairs import (
    corrected,
    holm,
    least_groups,
    mcnemar,
    non_inferiority,
    paired_difference,
    retention,
)
from distil.evaluate.stats.planning import needed_prompts

__all__ = [
    "Bounds",
    "Estimate",
    "Floats",
    "NonInferiority",
    "Paired",
    "bounds_of",
    "clusters",
    "corrected",
    "holm",
    "interval_of",
    "least_groups",
    "mcnemar",
    "mean_interval",
    "needed_prompts",
    "non_inferiority",
    "paired_difference",
    "retention",
    "standard_error",
    "summarize",
    "t_quantile",
    "wilson",
]
