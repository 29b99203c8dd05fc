"""The `serve` section of distil.yaml. The setup code in stage.py and calibrate.py unpacks it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from distil.calls.config import TeacherConfig
from distil.runs.section import Section

StreamMode = Literal["buffer", "prefix", "off"]


class ServeConfig(Section):
    """Where the gateway listens, and when the teacher answers instead of the student."""

    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 = all addresses of this machine, which needs an API key (distil serve --new-key NAME)."""
    port: int = Field(default=8000, ge=0, le=65535)
    """0 = any free port, printed at startup."""
    fallback: Literal["off", "always", "threshold", "calibrated"] = "calibrated"
    """off: the student answers everything. always: the teacher answers everything. threshold: the teacher answers when the
    student's confidence is below `threshold`. calibrated: the same, with the threshold and the guarantee of `distil
    calibrate`."""
    risk: float = Field(default=0.05, gt=0, lt=1)
    """calibrated: maximum share of bad answers among those that the student gives."""
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    """calibrated: probability with which the share of bad answers is below `risk`."""
    threshold: float | None = Field(default=None, ge=0, le=1)
    """Confidence at which the student answers; only for fallback: threshold."""
    score: Literal["lowest_tenth", "mean", "minimum", "entropy"] = "lowest_tenth"
    """How a confidence in [0, 1] is computed from the probabilities of the answer's tokens."""
    bad: Literal["auto", "reference", "judge", "fields", "similarity"] = "auto"
    """When an answer of the student is bad. reference: it does not come to the prompt's reference. fields: its JSON fields,
    number, letter or label are not the teacher's. similarity: it is too unlike the teacher's answer, or has other numbers or
    names, or says the opposite. judge: the judge prefers the teacher's answer in both orders, or with evaluate.judge_mode rubric
    scores it too low. auto: reference, else fields, else for prose the judge where there is one and `judge_budget_usd` is given,
    else similarity."""
    goal: float | None = Field(default=None, gt=0, le=1)
    """An answer is good if it agrees at least this much: share of equal fields for JSON, similarity for prose; a number, letter
    or label must be equal; by a judge's rubric the share of the possible score. null = 1 for fields (all of them), 0.85 for
    prose, 0.75 (4 of 5) for a rubric, 1 for several criteria."""
    judge: TeacherConfig | None = None
    """bad judge: the model that is asked, with evaluate.judge_mode and evaluate.judge_rubric; null = evaluate.judge."""
    judge_budget_usd: float | None = Field(default=None, ge=0)
    """bad judge: dollar cap for the judge, over everything that this project's ledger ever paid for one, evaluations included;
    null = the judge is not asked where that costs anything."""
    engine: str | None = None
    """An OpenAI-compatible server that runs the student, such as http://127.0.0.1:8001/v1#name (vLLM); null = in this
    process."""
    engine_key_env: str | None = None
    """Environment variable with that server's API key."""
    canary_minutes: float = Field(default=15.0, ge=0)
    """calibrated, with `engine`: how often the server answers the canary prompts again, to see that it still runs the calibrated
    model; 0 = only at the start."""
    teacher_failure: Literal["error", "student"] = "error"
    """If the student is unsure and the teacher cannot be reached: return an error, or the student's answer. The calibrated
    guarantee holds only with `error`."""
    budget_usd: float | None = Field(default=None, ge=0)
    """Dollar cap for the teacher's answers, over everything that this project's ledger ever paid for the gateway, earlier starts
    included; null = no cap."""
    budget_usd_per_day: float | None = Field(default=None, ge=0)
    """Dollar cap for the teacher's answers of one day (UTC), earlier starts of that day included; null = no cap."""
    cache: bool = False
    """Answer a request that names a temperature above 0 from the ledger where it was asked before; false = with a fresh sample.
    Requests at temperature 0, without a temperature or with a seed are always answered from it."""
    capture: bool = True
    """Save the prompts that the teacher answered to work/serve/captured.jsonl, as material for the next round."""
    stream: StreamMode = "buffer"
    """What a client that asks for a stream gets. buffer: the answer is decided on as a whole and then sent. prefix: its first
    `prefix_tokens` tokens are held back and decided on, and the rest is passed on while it is generated; needs a threshold that
    `distil calibrate` found with the same setting. off: the whole answer in one event. Without fallback there is nothing to
    decide, and buffer and prefix both pass everything on at once."""
    prefix_tokens: int = Field(default=16, ge=1)
    """stream prefix: the tokens that are held back."""
    deadline_s: float = Field(default=60.0, gt=0)
    """Seconds that a request may take, student and teacher together; a client may ask for less with the header
    x-distil-deadline-s. A stream must have begun by then."""
    teacher_concurrency: int | None = Field(default=None, ge=1)
    """Requests that the teacher gets at once; null = limits.concurrency of the teacher."""
    teacher_queue: int = Field(default=256, ge=0)
    """Requests that may wait for the teacher; beyond that, and where one would wait past its deadline, the gateway returns 429
    with Retry-After."""
    audit: float = Field(default=0.02, ge=0, le=1)
    """calibrated: share of the student's answers that the teacher answers, too, after the reply is sent: the served error is
    estimated from them, and an alarm goes off when it is above `risk`. 0 = never. Costs this share of what the student saves."""
    shadow: str | None = None
    """calibrated: another calibrated student that answers the audited requests, too, and a share of the fallbacks, unseen by
    clients. It takes over when it is shown to be no worse, and the old one comes back on its alarm."""
    on_alarm: Literal["tighten", "off", "warn"] = "tighten"
    """tighten: the teacher answers everything until a tighter threshold is certified on the answers since the alarm (no further
    cost: both have answered). off: the teacher answers everything until the next calibration. warn: only say so."""
    batch_size: int = Field(default=64, ge=1)
    """Batch size of the in-process student."""
    queue: int = Field(default=2048, ge=1)
    """Requests that may wait for it; beyond that, the gateway returns 503 with Retry-After."""
    default_max_tokens: int = Field(default=500, ge=1)
    """Maximum answer tokens if the request sets none."""
    log: Literal["auto", "text", "json", "off"] = "auto"
    """A line on stderr for each request, without its contents; auto: text on a terminal, otherwise none."""

    @property
    def decided_tokens(self) -> int | None:
        """The tokens of an answer that decide who answers; None = all."""
        return self.prefix_tokens if self.stream == "prefix" else None
