"""The `signals` section of distil.yaml: what is kept of the teacher at each position, and at which temperature."""

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

    top_k: the k best tokens and the mass of the rest; for any divergence (of those k + 1 outcomes) and any of `temperatures`.
    sampled: counts of random draws (RS-KD); unbiased, forward_kl only. stratified: the k best exactly, and draws from the
    rest; unbiased without variance in the head, forward_kl only. hidden: the teacher's hidden states; exact for every
    divergence and temperature, but large.
    """
    k: int | None = Field(default=None, ge=1)
    """Tokens that are kept exactly at each position; null = 50 for top_k (at most 21 come from an API), 4 for stratified."""
    draws: int | None = Field(default=None, ge=1, le=65_535)
    """Random draws at each position; null = 40 for sampled (50 where they are independent), 4 from the tail for stratified."""
    draw: Literal["systematic", "independent"] = "systematic"
    """How draws are made; both ways are unbiased.

    independent: with replacement, as the RS-KD paper does. systematic: one random start, then equal steps through the
    cumulative distribution, so that a token of probability p is drawn N * p times but for rounding.
    """
    draw_sets: int = Field(default=1, ge=1)
    """Independent sets of draws; epoch e of a training reads set e (modulo their number). Bytes grow with it."""
    temperature: float | None = Field(default=None, gt=0)
    """sampled and stratified: the temperature that is drawn at; null = train.temperature, which it must be (draws cannot be
    re-tempered). A high one flattens the teacher, so that more different tokens are drawn and stored."""
    temperatures: list[float] = Field(default_factory=lambda: [1.0, 1.5, 2.0, 4.0], min_length=1)
    """top_k: training may use these temperatures, and train.temperature as it is now, exactly; each costs 6 bytes a token."""
    dtype: Literal["auto", "float16", "bfloat16", "float32"] = "auto"
    """top_k: of the stored logits (auto = float16). hidden: of the states (auto = the teacher's if bfloat16, else float16)."""
    splits: list[Split] = Field(default_factory=lambda: list(SPLITS), min_length=1)
    """Which files of `distil curate` are cached."""
    max_length: int | None = Field(default=None, ge=2)
    """Longer examples (in tokens) are left out, as training leaves them out; null = the teacher's context."""
    batch_tokens: int = Field(default=8192, ge=1)
    """Tokens, padding included, in one forward pass of the teacher."""
    processes: int = Field(default=1, ge=1)
    """Processes on this machine that write at once, each with its own teacher (and its own GPU, where there are several)."""
    shard_mb: int = Field(default=256, ge=1, le=3800)
    """A new shard file begins at this size."""
