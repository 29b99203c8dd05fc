"""The `signals` section of distil.yaml: what is stored of the teacher's distribution at each position."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from distil.runs.section import Section

Split = Literal["train", "validation"]
SPLITS: tuple[Split, ...] = ("train", "validation")


class SignalsConfig(Section):
    """What `distil signals build` stores for `train.signal: cached`."""

    kind: Literal["top_k", "sampled", "stratified", "hidden"] = "sampled"
    """What is stored at each position.

    top_k: the k most likely tokens and the mass of the others; for any divergence (over those k + 1 outcomes) and any of
    `temperatures`. sampled: counts of random draws (RS-KD); unbiased, forward_kl only. stratified: the k most likely tokens
    exactly, and draws from the others; unbiased, without variance in the head, forward_kl only. hidden: the teacher's
    hidden states; exact for every divergence and temperature, but large.
    """
    k: int | None = Field(default=None, ge=1)
    """Tokens stored exactly at each position; null = 50 for top_k (APIs return at most 21), 4 for stratified."""
    draws: int | None = Field(default=None, ge=1, le=65_535)
    """Random draws per position; null = 40 for sampled (50 if `draw: independent`), 4 from the tail for stratified."""
    draw: Literal["systematic", "independent"] = "systematic"
    """How samples are drawn; both are unbiased.

    independent: with replacement, as in the RS-KD paper. systematic: one random start, then equal steps through the
    cumulative distribution, so a token of probability p is drawn N * p times, up to rounding.
    """
    draw_sets: int = Field(default=1, ge=1)
    """Number of independent sets of draws; epoch e of the training reads set e (modulo their number). Size grows in
    proportion."""
    temperature: float | None = Field(default=None, gt=0)
    """sampled and stratified: temperature of the draws; null = train.temperature, which it must equal (draws cannot be
    re-tempered). A higher one flattens the teacher, so more distinct tokens are drawn and stored."""
    temperatures: list[float] = Field(default_factory=lambda: [1.0, 1.5, 2.0, 4.0], min_length=1)
    """top_k: the temperatures that training can use exactly, besides the current train.temperature; each costs 6 bytes per
    token."""
    dtype: Literal["auto", "float16", "bfloat16", "float32"] = "auto"
    """Type of the stored numbers. top_k: logits (auto = float16). hidden: states (auto = the teacher's if bfloat16, else
    float16)."""
    splits: list[Split] = Field(default_factory=lambda: list(SPLITS), min_length=1)
    """The splits to cache."""
    max_length: int | None = Field(default=None, ge=2)
    """Longer examples (in tokens) are skipped, as in training; null = the teacher's context."""
    batch_tokens: int = Field(default=8192, ge=1)
    """Tokens per forward pass of the teacher, including padding."""
    teacher_memory: Literal["auto"] | dict[str, str] | None = None
    """For a teacher larger than one device: as in train.teacher_memory; null = all on one device."""
    processes: int = Field(default=1, ge=1)
    """Parallel processes on this machine, each with its own teacher (and its own GPU, if there are several)."""
    shard_mb: int = Field(default=256, ge=1, le=3800)
    """Size at which a new shard file begins."""
