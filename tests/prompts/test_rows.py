"""A row of a source becomes a prompt."""

from distil.prompts.rows import to_prompt
from distil.sources.values import Row


def test_further_columns_become_fields() -> None:
    row = Row("f:1", {"prompt": "hi", "channel": "mail", "vip": True, "year": 2024, "note": "x" * 101, "tags": ["a"]})
    loaded = to_prompt(row, None)
    assert loaded.prompt is not None and loaded.prompt.fields == {"channel": "mail", "vip": "true", "year": "2024"}
    assert loaded.kept == ("channel", "vip", "year") and loaded.unused == ("note", "tags")
    bare = to_prompt(Row("f:1", {"prompt": "hi"}), None).prompt
    assert bare is not None and loaded.prompt.id == bare.id  # what is asked is the same
