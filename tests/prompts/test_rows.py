"""A row of a source becomes a prompt."""

from distil.prompts.rows import to_prompt
from distil.prompts.sources import Row


def test_further_columns_become_fields() -> None:
    row = Row("f:1", {"prompt": "hi", "channel": "mail", "vip": True, "year": 2024, "note": "x" * 101, "tags": ["a"]})
    prompt, further = to_prompt(row, None)
    assert prompt.fields == {"channel": "mail", "vip": "true", "year": "2024"}
    assert further == ["channel", "vip", "year", "note", "tags"]
    assert prompt.id == to_prompt(Row("f:1", {"prompt": "hi"}), None)[0].id  # what is asked is the same
