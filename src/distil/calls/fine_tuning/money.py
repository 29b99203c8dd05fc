"""A fine-tuning job's money: reserved under the cap before the job is created, settled when it ends.

One row of the ledger per job, with the purpose `train` and the tier `job`: like a batch it outlives the process that sent it.
"""

from __future__ import annotations

import json

from distil.calls.fine_tuning.api import JobState
from distil.calls.identity import call_key, compress
from distil.calls.ledger.rows import AttemptRow, FailedRow, IntentRow
from distil.calls.ledger.store import Ledger, Recorded
from distil.calls.limits.budget import budget_reached
from distil.ids import now
from distil.records import Usage
from distil.runs.schemas.provider_job import ProviderJob

PURPOSE, TIER = "train", "job"
CAP_OPTION = "--set train.budget_usd="
MILLION = 1e6


def key_of(job: ProviderJob) -> str:
    """The job's key in the ledger."""
    return call_key(f"fine-tuning#{job.provider}", {"base": job.base, "intent": job.intent})


def model_of(job: ProviderJob) -> str:
    """Its model in the ledger: no question to the base model counts as a training."""
    return f"{job.provider}/{job.base}#fine-tuning"


def require_budget(ledger: Ledger, job: ProviderJob, cap_usd: float | None) -> None:
    """Raises BudgetReached when the job may cost more than is left of the cap, open jobs of this project counted."""
    if cap_usd is None:
        return
    held = ledger.reserved(PURPOSE, TIER, but=key_of(job))
    spent, uncertain = ledger.spent(PURPOSE), ledger.uncertain(PURPOSE).usd + held
    if spent + uncertain + job.most_usd > cap_usd + 1e-9:
        raise budget_reached(cap_usd, spent, uncertain, job.most_usd, CAP_OPTION)


def reserve(ledger: Ledger, job: ProviderJob) -> None:
    """Commits the intent to pay, before the job is created. Doing it again changes nothing."""
    stored = ledger.find(key_of(job), text=False)
    if stored is not None and stored.open:
        return
    row = IntentRow(
        key=key_of(job),
        purpose=PURPOSE,
        model=model_of(job),
        endpoint=f"fine-tuning#{job.provider}",
        tier=TIER,
        sample=0,
        run=ledger.run,
        reserve_usd=job.most_usd,
        created=now(),
    )
    ledger.intend([row])


def cost_of(job: ProviderJob, state: JobState) -> tuple[float | None, str]:
    """(dollars, where they come from): the provider's word, else its billed tokens at the known price, else None."""
    if state.usd is not None:
        return state.usd, f"told by {job.provider}"
    if state.tokens is not None and job.usd_per_million is not None:
        return state.tokens * job.usd_per_million / MILLION, f"billed tokens; {job.price_source}"
    return None, ""


def settle(ledger: Ledger, job: ProviderJob, state: JobState) -> float | None:
    """Books what the job cost, or that it may have cost something. Returns the dollars, None where they are not known.

    A job that ended well without a word about its cost counts at its estimate. One that failed or was cancelled before it ran
    cost nothing; one that ran may have cost all that was reserved.
    """
    usd, source = cost_of(job, state)
    if usd is None and state.phase == "succeeded":
        usd, source = job.estimate_usd, f"estimated; {job.price_source}"
    if usd is not None:
        tokens = state.tokens or (job.tokens * job.epochs if state.phase == "succeeded" else 0)
        order = {"provider": job.provider, "base": job.base, "settings": job.settings, "job": job.job_id}
        reply = {"state": state.word, "model": state.model, "usd": usd}
        recorded = Recorded(
            key=key_of(job),
            purpose=PURPOSE,
            model=model_of(job),
            request=json.dumps(order).encode(),
            reply=json.dumps(reply).encode(),
            usage=Usage(input_tokens=tokens),
            usd=usd,
            endpoint=f"fine-tuning#{job.provider}",
            tier=TIER,
            price=(job.usd_per_million, None, source),
            request_id=job.job_id,
        )
        ledger.record([recorded])
        return usd
    stored = ledger.find(key_of(job), text=False)
    if stored is not None and stored.open:
        why = f"the job {job.job_id or job.intent} ended as {state.word}"
        maybe = AttemptRow(key_of(job), now(), state.phase, why, None, job.most_usd, compress(why.encode()))
        ledger.start().put([*([maybe] if ran(job, state) else []), FailedRow(key_of(job), why)]).result()
    return None if ran(job, state) else 0.0


def let_go(ledger: Ledger, job: ProviderJob, why: str) -> None:
    """Nothing can be learned of the job any more: it may have cost all that was reserved."""
    stored = ledger.find(key_of(job), text=False)
    if stored is not None and stored.open:
        maybe = AttemptRow(key_of(job), now(), "crashed", why, None, job.most_usd, None)
        ledger.start().put([maybe, FailedRow(key_of(job), why)]).result()


def give_up(ledger: Ledger, job: ProviderJob, why: str) -> None:
    """The job was never created: nothing was paid."""
    stored = ledger.find(key_of(job), text=False)
    if stored is not None and stored.open:
        ledger.fail([(key_of(job), why)])


def ran(job: ProviderJob, state: JobState) -> bool:
    """Whether it was seen at work, so that something may be billed."""
    return (
        bool(state.share)
        or bool(state.tokens)
        or job.word in ("running", "compressing", "uploading", "writing_results")
    )
