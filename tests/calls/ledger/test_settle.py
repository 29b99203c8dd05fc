"""What may have been paid is settled by an invoice in any vendor's columns, or by the user's word; the facts stay."""

from __future__ import annotations

from pathlib import Path

import pytest

from distil.calls.ledger.invoice import read_invoice
from distil.calls.ledger.rows import AnsweredRow, AttemptRow, IntentRow
from distil.calls.ledger.store import Ledger
from distil.errors import UserError

HAIKU, MINI = "anthropic/claude-haiku-4-5", "openai/gpt-4o-mini"
DAY = "2026-08-04T10:00:00.000+00:00"


def fill(ledger: Ledger) -> None:
    """Of both models: one call for $1.00, and two lost ones that may have cost $0.30 each."""
    for model in (HAIKU, MINI):
        ledger.start().put([answered(f"{model} 0", model)]).result()
        for number in (1, 2):
            key = f"{model} {number}"
            intent = IntentRow(key, "collect", model, "e", "standard", 0, ledger.run, 0.3, DAY)
            ledger.start().put([intent]).result()
            ledger.start().put([AttemptRow(key, DAY, "timeout", "no reply", 1.0, 0.3, None)]).result()


def answered(key: str, model: str) -> AnsweredRow:
    tokens = (1, 1, 0, 0)
    return AnsweredRow(key, "collect", model, "e", "standard", 0, "r", *tokens, 1.0, None, None, None, None, DAY, None)


def write(folder: Path, text: str) -> Path:
    path = folder / "invoice.csv"
    path.write_text(text)
    return path


ANTHROPIC = """usage_date_utc,model,workspace,api_key,usage_type,token_type,cost_usd,list_price_usd
2026-08-03,Claude Haiku 4.5,Default,k,message,input_no_cache,0.70,0.70
2026-08-04,Claude Haiku 4.5,Default,k,message,input_no_cache,0.10,0.10
2026-08-04,Claude Haiku 4.5,Default,k,message,output,0.40,0.40
"""
OPENAI = """start_time,end_time,start_time_iso,end_time_iso,amount_value,amount_currency,line_item,project_id
1785801600,1785888000,2026-08-04T00:00:00+00:00,2026-08-05T00:00:00+00:00,0.70,usd,"gpt-4o-mini-2024-07-18, input",p
1785801600,1785888000,2026-08-04T00:00:00+00:00,2026-08-05T00:00:00+00:00,0.45,usd,"gpt-4o-mini-2024-07-18, output",p
"""
OPENROUTER = """generation_id,created_at,cost_total,byok_usage_inference,tokens_prompt,model_permaslug
gen-1,2026-08-04 03:46:57.713,0.5,0.3,10389,openai/gpt-4o-mini
gen-2,2026-08-04 03:47:57.713,0.45,,10389,openai/gpt-4o-mini
"""


@pytest.mark.parametrize(
    ("text", "model", "paid"),
    [
        (ANTHROPIC, HAIKU, 0.2),
        (OPENAI, MINI, 0.15),
        (OPENROUTER, MINI, 0.25),
        ("Date;Model;Cost\n2026-08-04;gpt-4o-mini;9.99\n", MINI, 0.6),  # others use the account: at most what was open
        ("Date,Model,Cost\n2026-08-04,gpt-4o-mini,$0.90\n", MINI, 0.0),  # less than the ledger knows
    ],
    ids=["anthropic", "openai", "openrouter", "other programs", "nothing"],
)
def test_an_invoice_settles_what_may_have_been_paid(text: str, model: str, paid: float, tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        fill(ledger)
        assert ledger.uncertain().requests == 4 and ledger.spent() == 2.0
        settled = ledger.settle(read_invoice(write(tmp_path, text)))
        assert [(one.model, one.requests) for one in settled] == [(model, 2)]
        assert settled[0].paid_usd == pytest.approx(paid) and settled[0].maybe_usd == pytest.approx(0.6)
        assert ledger.spent("collect") == pytest.approx(2.0 + paid)
        assert ledger.uncertain("collect").requests == 2, "the other provider's stay open"
        assert len([usd for *_, usd in ledger.attempts() if usd is not None]) == 4, "the facts stay"
        with pytest.raises(UserError, match="no model with open requests"):
            ledger.settle(read_invoice(tmp_path / "invoice.csv"))
        assert ledger.spent("collect") == pytest.approx(2.0 + paid)


def test_the_users_word_settles_everything(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        fill(ledger)
        assert sum(one.requests for one in ledger.settle(None)) == 4
        assert ledger.uncertain().requests == 0 and ledger.spent() == 2.0
        assert ledger.settle(None) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("start_time,input_tokens,output_tokens,model\n1,2,3,m\n", "a cost. Found: start_time, input_tokens"),
        ("model,cost\nm,1\n", "a day"),
        ("", "Found: none"),
        ("date,cost\n", "no rows"),
        ("date,cost\n2026-08-04,twelve\n", r":2 has the cost 'twelve'"),
        ("date,cost\nyesterday,1\n", r":2 has the day 'yesterday'"),
        ("date,cost,currency\n2026-08-04,1,EUR\n", "is in EUR"),
        ("date,model,cost\n2026-08-04,\x1b[2Jgpt-9,1\n", "names no model with open requests"),
        ("date,cost\n2026-08-04,5\n", "no column for the model"),
    ],
)
def test_a_file_that_settles_nothing_says_what_it_expected(text: str, words: str, tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        fill(ledger)
        with pytest.raises(UserError, match=words) as caught:
            ledger.settle(read_invoice(write(tmp_path, text)))
        assert "\x1b" not in str(caught.value)
        assert ledger.uncertain().requests == 4
    with pytest.raises(UserError, match="Could not read"):
        read_invoice(tmp_path / "none.csv")


def test_a_ledger_from_before_settlements_opens(tmp_path: Path) -> None:
    from distil.calls.ledger import schema

    path = tmp_path / "ledger.sqlite"
    db = schema.sqlite3.connect(path, isolation_level=None)
    schema.migrate(db, path, schema.MIGRATIONS[:2])
    db.execute(
        "INSERT INTO call (key, purpose, model, endpoint, tier, sample, status, created, usd) "
        "VALUES ('k', 'collect', 'm', 'e', 'standard', 0, 'answered', '2026', 0.5)"
    )
    db.close()
    with Ledger(path) as ledger:
        call = next(iter(ledger.calls()))
        assert call.usd == 0.5 and call.table_usd is None and call.usage.cache_write_tokens == 0
        assert ledger.settle(None) == [] and ledger.totals()[0].table_usd == 0.5
