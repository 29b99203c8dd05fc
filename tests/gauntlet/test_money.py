"""Public bug reports about money: what was billed is what is counted, and the cap holds whatever a provider's usage means.

Each server here bills as its provider does, and the cap is checked against that bill, not against our own count.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from distil.calls.client import Client
from distil.calls.config import Limits, Price, TeacherConfig
from distil.calls.ledger.store import Ledger
from distil.calls.prices import PriceQuote
from distil.calls.providers.usage import chat_usage, told_cost
from distil.errors import BudgetReached
from distil.records import Sampling
from tests.calls.asking import all_of, ask, with_client
from tests.wire import openai as wire

# xAI's prices at the time of the report: dollars per million input, cached and output tokens.
GROK = PriceQuote(1.25, 2.5, "the report", "2026-08-18", cached_input=0.2)
REPORT = {
    "prompt_tokens": 10120,
    "completion_tokens": 1499,
    "total_tokens": 14428,
    "prompt_tokens_details": {"cached_tokens": 128},
    "completion_tokens_details": {"reasoning_tokens": 2809},
}


def test_reasoning_beside_the_answer_is_billed() -> None:
    """github.com/Wei-Shaw/sub2api/issues/5771 (10): $0.0162631 was counted, $0.0232856 billed."""
    assert GROK.cost(chat_usage(REPORT)) == pytest.approx(0.0232856)
    told = told_cost({**REPORT, "cost_in_usd_ticks": 232856000})
    assert told is not None and told.usd == pytest.approx(0.0232856)


def test_reasoning_inside_the_answer_is_billed_once() -> None:
    """github.com/promptfoo/promptfoo/issues/9507 (11), with the counts of 10."""
    inside = {**REPORT, "completion_tokens": 4308}
    assert chat_usage(inside) == chat_usage(REPORT)
    assert GROK.cost(chat_usage(inside)) == pytest.approx(0.0232856)


PRICE = Price(input=1.0, output=10.0)
CHANCE = random.Random(4)


def _plain(prompt: int, answer: int, hidden: int) -> tuple[dict[str, Any], float]:
    usage = {"prompt_tokens": prompt, "completion_tokens": answer, "total_tokens": prompt + answer}
    return usage, (prompt + 10 * answer) / 1e6


def _xai(prompt: int, answer: int, hidden: int) -> tuple[dict[str, Any], float]:
    usage = {
        "prompt_tokens": prompt,
        "completion_tokens": answer,
        "total_tokens": prompt + answer + hidden,
        "completion_tokens_details": {"reasoning_tokens": hidden},
    }
    return usage, (prompt + 10 * (answer + hidden)) / 1e6


def _only_in_total(prompt: int, answer: int, hidden: int) -> tuple[dict[str, Any], float]:
    usage, usd = _xai(prompt, answer, hidden)
    return {name: usage[name] for name in ("prompt_tokens", "completion_tokens", "total_tokens")}, usd


def _above_max_tokens(prompt: int, answer: int, hidden: int) -> tuple[dict[str, Any], float]:
    return _plain(prompt, answer + hidden, 0)


def _openrouter(prompt: int, answer: int, hidden: int) -> tuple[dict[str, Any], float]:
    """Four times the price that the config names, and a fee: an answer that was routed to a dear provider."""
    usage, usd = _plain(prompt, answer, 0)
    return {**usage, "cost": 4 * usd + 0.0005}, 4 * usd + 0.0005


def _ticks(prompt: int, answer: int, hidden: int) -> tuple[dict[str, Any], float]:
    usage, usd = _xai(prompt, answer, hidden)
    return {**usage, "cost_in_usd_ticks": round(usd * 1e10)}, round(usd * 1e10) / 1e10


def _unreadable(prompt: int, answer: int, hidden: int) -> tuple[dict[str, Any], float]:
    _, usd = _plain(prompt, answer, 0)
    return {"prompt_tokens": "NaN", "completion_tokens": None, "total_tokens": -1}, usd


Billing = Callable[[int, int, int], tuple[dict[str, Any], float]]
BILLINGS: list[Billing] = [_plain, _xai, _only_in_total, _above_max_tokens, _openrouter, _ticks, _unreadable]


def _mixed(prompt: int, answer: int, hidden: int) -> tuple[dict[str, Any], float]:
    return CHANCE.choice(BILLINGS)(prompt, answer, hidden)


class BillingServer(wire.OpenAIServer):
    """Answers within max_tokens, thinks ten times as long beside it, and bills as a provider does."""

    def __init__(self, billing: Billing, delay_s: float = 0.02) -> None:
        super().__init__(key=None, models=("m",), delay_s=delay_s)
        self._billing = billing
        self.billed = 0.0

    def complete(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        status, reply = super().complete(body)
        usage, usd = self._billing(20, CHANCE.randint(20, 50), CHANCE.randint(200, 500))
        self.billed += usd
        reply["usage"] = usage
        return status, reply


def collect(server: BillingServer, folder: Path, cap: float, prompts: int = 3000) -> None:
    model = f"{server.url}#m"
    limits = Limits(concurrency=200)
    config = TeacherConfig(model=model, price=PRICE, limits=limits)
    asked = (
        ask(f"prompt {number}", sampling=Sampling(max_tokens=50)).model_copy(update={"model": model})
        for number in range(prompts)
    )

    async def work(client: Client) -> None:
        await all_of(client, asked)

    with pytest.raises(BudgetReached):
        with_client(folder, [config], work, budget_usd=cap)


@pytest.mark.parametrize("billing", [*BILLINGS, _mixed], ids=lambda billing: billing.__name__.strip("_"))
def test_the_cap_holds_whatever_usage_means(billing: Billing, tmp_path: Path) -> None:
    """inspect_ai#5528, vercel/ai#12425, sub2api#5771: $0.50 allowed, $5.38 billed before. With 200 in flight."""
    cap = 250 * billing(20, 35, 350)[1] if billing is not _mixed else 1.0
    with BillingServer(billing, delay_s=0.1) as server:
        collect(server, tmp_path, cap)
        assert server.most_in_flight > 10
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        spent = ledger.spent()
    assert server.billed <= cap * 1.02
    if billing not in (_unreadable, _mixed):
        assert spent == pytest.approx(server.billed)
        assert server.billed > cap * 0.85, "the cap is also used"


@pytest.mark.parametrize("cap", [0.01, 0.05])
def test_a_cap_of_a_few_requests_holds_from_the_first_run(cap: float, tmp_path: Path) -> None:
    """github.com/BerriAI/litellm/issues/34732 (30), with a bill that is ten times what was reserved."""
    with BillingServer(_xai) as server:
        collect(server, tmp_path, cap, prompts=64)
        assert server.billed <= cap * 1.02 + 0.0055, "one request may be in flight before the first bill is seen"


def test_a_later_run_remembers_what_bills_were_like(tmp_path: Path) -> None:
    with BillingServer(_xai) as server:
        collect(server, tmp_path, 0.3)
        first = server.billed
        collect(server, tmp_path, 0.33)
        assert first < server.billed <= 0.33 * 1.02


def test_one_warning_where_provider_and_table_differ(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with BillingServer(_openrouter) as server:
        collect(server, tmp_path, 0.1)
    warnings = [line for line in capsys.readouterr().err.splitlines() if "by the known price" in line]
    assert len(warnings) == 1 and "usage.cost" in warnings[0]
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        call = next(call for call in ledger.calls() if call.status == "answered")
        total = ledger.totals()[0]
    assert call.price_source == "usage.cost of the reply" and call.table_usd is not None
    assert call.usd == pytest.approx(4 * call.table_usd + 0.0005)
    assert total.usd > 4 * total.table_usd > 0


def test_an_answer_of_no_tokens_is_not_free(tmp_path: Path) -> None:
    """`completion_tokens: 0` beside a text: charged at the reservation, and the call says so."""
    with BillingServer(lambda prompt, answer, hidden: ({"prompt_tokens": 20, "completion_tokens": 0}, 0.0)) as server:
        collect(server, tmp_path, 0.01, prompts=64)
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        call = next(call for call in ledger.calls() if call.status == "answered")
    assert call.usd == pytest.approx((20 + 10 * 50) / 1e6)
    assert call.price_source == "config, at most: the reply names no output tokens"
