"""Replies of a judge, made without a wire."""

from __future__ import annotations

from distil.calls.config import TeacherConfig
from distil.calls.request import Reply
from distil.evaluate.judge import Settings
from distil.records import Usage

JUDGE = TeacherConfig(model="openai/gpt-5")
SETTINGS = Settings(JUDGE)


def reply(text: str, finish_reason: str = "stop") -> Reply:
    """One reply with this text."""
    return Reply(
        text=text, finish_reason=finish_reason, usage=Usage(), usd=0.0, latency_s=0.1, model="judge", call_id="c"
    )


def verdict(slot: str) -> Reply:
    """The reply that is asked for."""
    return reply(f'{{"reason": "because", "better": "{slot}"}}')
