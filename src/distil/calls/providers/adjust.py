"""Parameters that one OpenAI-compatible server wants and another refuses, learned from the refusal.

Only names, and what does not change an answer: `max_tokens` or `max_completion_tokens`, and summaries of thinking. What would
change how answers are sampled (a temperature) is never dropped in silence.
"""

from __future__ import annotations

import re

from distil.calls.request import JsonObject

_OTHER = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}
NO_SUMMARY = "no summary"
_REFUSED = re.compile(
    r"unsupported[_ ](?:parameter|value)|unknown[_ ]parameter|extra_forbidden|extra (?:inputs|fields) |not supported"
    r"|un(?:recognized|known|expected) (?:request )?(?:argument|parameter|field|keyword)|must be verified",
    re.IGNORECASE,
)


class Lessons:
    """What one server has taught. `adjusted` and `learn` are those of `base.Adjusts`."""

    def __init__(self) -> None:
        self._learned: set[str] = set()
        """Names to use instead of their counterpart, and NO_SUMMARY."""

    def adjusted(self, body: JsonObject) -> JsonObject:
        """The body after the lessons; the same object while there are none."""
        if not self._learned:
            return body
        for name in self._learned & _OTHER.keys():
            body = {name if field == _OTHER[name] else field: value for field, value in body.items()}
        if NO_SUMMARY in self._learned and "summary" in body.get("reasoning", {}):
            rest = {name: value for name, value in body["reasoning"].items() if name != "summary"}
            body = {name: value for name, value in {**body, "reasoning": rest}.items() if name != "reasoning" or rest}
        return body

    def learn(self, status: int, sent: JsonObject, reply: bytes) -> bool:
        """Reads a refusal. True: the same request, adjusted again, may work."""
        text = reply[:4000].decode("utf-8", "replace")
        if status not in (400, 404, 422) or _REFUSED.search(text) is None:
            return False
        for name in _OTHER:
            if name in sent and _names(text, name):
                if name in self._learned:
                    return False  # it refuses both
                self._learned.add(_OTHER[name])
                return True
        if "summary" in sent.get("reasoning", {}) and "summar" in text:
            self._learned.add(NO_SUMMARY)
            return True
        return False


def _names(text: str, parameter: str) -> bool:
    """The parameter by itself, not as a part of another's name."""
    return re.search(rf"(?<![A-Za-z_]){parameter}(?![A-Za-z_])", text) is not None
