"""What counts as a closed set of values: near-copies of one message are one witness, not many."""

from __future__ import annotations

from distil.forecast.answers import fields_of, unseen_share

ORDERS = [{"intent": ("refund", "delivery")[n % 2], "order": f"A{n // 10:04}"} for n in range(400)]
"""Forty messages in ten near-copies each, with the order number of the message."""
GROUPS = [n // 10 for n in range(400)]


def test_values_that_only_near_copies_repeat_are_new_ones() -> None:
    assert unseen_share(["a", "a", "b", "b"]) == 0
    assert unseen_share(["a", "a", "b", "b"], [0, 0, 1, 1]) == 1
    assert unseen_share(["a", "a", "a", "b"], [0, 0, 1, 1]) == 1 / 3
    assert unseen_share(["a", "a", "b"], [0, 1, 2]) == unseen_share(["a", "a", "b"])


def test_an_order_number_is_copied_and_an_intent_is_chosen() -> None:
    closed = {target.name: target.closed for target in fields_of(ORDERS, GROUPS)}
    assert closed == {"intent": True, "order": False}
    assert {target.name: target.closed for target in fields_of(ORDERS)}["order"]  # what counting rows says
