"""What a call costs: by the config, by the table with its version, never silently nothing."""

from __future__ import annotations

import pytest
from genai_prices import Usage as TableUsage
from genai_prices import calc_price
from hypothesis import given, settings
from hypothesis import strategies as st

from distil.calls.config import Price
from distil.calls.limits.estimate import Estimator
from distil.calls.prices import price_of, table_version
from distil.calls.request import Request
from distil.errors import UserError
from distil.records import Message, Usage


@settings(max_examples=60, deadline=None)
@given(
    model=st.sampled_from(["openai/gpt-5-mini", "anthropic/claude-sonnet-4-5", "google/gemini-2.5-pro"]),
    tokens=st.integers(0, 400_000),
    cached=st.integers(0, 400_000),
    output=st.integers(0, 50_000),
)
def test_the_cost_is_what_the_price_table_itself_computes(model: str, tokens: int, cached: int, output: int) -> None:
    cached = min(cached, tokens)
    vendor, name = model.split("/")
    usage = TableUsage(input_tokens=tokens, output_tokens=output, cache_read_tokens=cached)
    expected = float(calc_price(usage, name, provider_id=vendor).total_price)
    quote = price_of(model)
    ours = Usage(input_tokens=tokens, output_tokens=output, cached_tokens=cached, reasoning_tokens=output // 2)
    assert quote.cost(ours) == pytest.approx(expected)
    assert quote.max_cost(tokens, output) >= quote.cost(ours) - 1e-12


def test_flex_and_batch_have_their_own_price_where_sold() -> None:
    standard, flex, batch = (price_of("openai/gpt-5-mini", None, tier) for tier in ("standard", "flex", "batch"))
    assert flex.input == batch.input == standard.input / 2
    assert flex.discounted and batch.discounted and not standard.discounted
    unsold = price_of("anthropic/claude-haiku-4-5", None, "flex")
    assert not unsold.discounted and unsold.input == price_of("anthropic/claude-haiku-4-5").input


def test_the_quote_says_where_it_comes_from() -> None:
    assert price_of("openai/gpt-5-mini").source == f"genai-prices {table_version()}"
    assert price_of("openai/gpt-5-mini", Price(input=9, output=9)).source == "config"
    assert len(price_of("openai/gpt-5-mini").date) == 10


def test_the_config_overrules_the_table_with_tier_factors() -> None:
    price = Price(input=2.0, output=8.0, cached_input=1.0, batch_factor=0.5)
    assert price_of("openai/gpt-5-mini", price).cost(
        Usage(input_tokens=1_000_000, cached_tokens=500_000, output_tokens=1_000_000)
    ) == pytest.approx(1.0 + 0.5 + 8.0)
    assert price_of("openai/gpt-5-mini", price, "batch").output == 4.0


@pytest.mark.parametrize("model", ["openai/gpt-99-unheard-of", "http://127.0.0.1:8000/v1#mine", "together/who/knows"])
def test_an_unknown_price_is_asked_for_with_the_lines_to_write(model: str) -> None:
    with pytest.raises(UserError) as caught:
        price_of(model)
    assert f"model: {model}\n    price: {{input: 0.25, output: 2.0}}" in str(caught.value)


@pytest.mark.parametrize("model", ["recorded/a.jsonl", "bundled/teacher", "local/model"])
def test_what_runs_here_costs_nothing_unless_priced(model: str) -> None:
    assert price_of(model).cost(Usage(input_tokens=1000, output_tokens=1000)) == 0.0
    assert price_of(model, Price(input=1, output=1)).max_cost(1_000_000, 0) == 1.0


def ask(text: str, **fields: object) -> Request:
    return Request.model_validate({"model": "m", "messages": [Message(role="user", content=text)], **fields})


@settings(max_examples=50, deadline=None)
@given(text=st.text(max_size=200))
def test_the_prompt_bound_is_at_least_one_token_a_byte(text: str) -> None:
    assert Estimator().max_input(ask(text), len(text.encode("utf-8", "surrogatepass"))) >= len(text)


def test_images_and_tools_are_bounded_from_above() -> None:
    image = {"type": "image_url", "image_url": {"url": "https://x/y.png"}}
    request = Request(model="m", messages=[Message(role="user", content=[{"type": "text", "text": "a"}, image])])
    assert Estimator().max_input(request, 100) > 36_835
    assert Estimator().max_input(ask("a", tools=[{}]), 100) > 1_000


def test_the_guess_is_close_after_some_replies() -> None:
    estimator = Estimator()
    assert estimator.input(400) == 100 and estimator.output(500) == 250
    for _ in range(100):
        estimator.learn(600, Usage(input_tokens=100, output_tokens=40))
    assert estimator.input(1200) == pytest.approx(200, rel=0.02)
    assert estimator.output(500) == pytest.approx(40, rel=0.02)
    assert estimator.output(20) == 20
