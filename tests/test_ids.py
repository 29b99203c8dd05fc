"""Draws by a hash are pinned: another number would choose other test prompts, rounds and rollouts in projects that exist."""

from __future__ import annotations

from distil.curate.reasoning import place
from distil.ids import drawn, stable_hash
from distil.records import Message, Prompt
from distil.until.rounds import in_order


def test_draws_are_what_they_were() -> None:
    assert stable_hash(3, "split", "prompt_1") == 0.6481190939231716
    assert place("prompt_1") == 0.39357215580783167
    assert drawn("until:prompt_1") == 0x15A4A9C6E840500D and drawn("0/5/e1", 7) == 61241681009161348


def test_a_draw_takes_any_text() -> None:
    """Half a surrogate pair, too, which a broken file may hold."""
    assert 0 <= drawn("\ud800") < 2**64


def test_rounds_ask_in_the_order_that_they_had() -> None:
    prompts = [Prompt.make([Message(role="user", content=str(number))]) for number in range(6)]
    assert [prompt.messages[0].text for prompt in in_order(prompts, frozenset())] == list("342150")
