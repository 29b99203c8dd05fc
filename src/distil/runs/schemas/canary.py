"""What a student's server answered to one canary prompt at calibration: a line of work/serve/NAME/canaries.jsonl."""

from __future__ import annotations

from distil.records import Message, Record, ToolChoice


class Canary(Record):
    """A prompt, and the distributions of the first tokens of its greedy answer."""

    messages: list[Message]
    """The conversation."""
    tools: list[dict[str, object]] | None = None
    """As the label's, in OpenAI's shape."""
    tool_choice: ToolChoice | None = None
    """As the label's."""
    response_format: dict[str, object] | None = None
    """As the label's."""
    tokens: list[list[tuple[str, float]]]
    """For each token of the answer: itself and the most probable others, with their natural log-probabilities."""
    noise: float
    """Mean difference per token between asking alone and asking with all others at once: what batches do."""
