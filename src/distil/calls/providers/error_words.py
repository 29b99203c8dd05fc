"""What an error of an OpenAI-compatible API says, in any of its shapes, also inside a 200: code, status, words, and what follows.

Shapes: OpenAI's and Azure's `error` object, OpenRouter's with an integer code and the upstream's words in `metadata`, an error in
a choice, plain texts (Ollama), lists (Google, FastAPI), `message` alone (Bedrock, older vLLM), HTML of a proxy.
"""

from __future__ import annotations

import json
import re
from typing import NamedTuple

from distil.calls.faults import FaultKind
from distil.calls.providers import common
from distil.calls.request import JsonObject

QUOTA_CODES = {
    "insufficient_quota",
    "billing_hard_limit_reached",
    "billing_not_active",
    "quota_exceeded",
    "insufficient_balance",
    "insufficient_credits",
    "arrearage",  # Alibaba
    "1113",  # Z.ai, with status 429
    "1008",  # MiniMax
}
SHED_CODES = {"resource_unavailable", "capacity_exceeded"}
AGAIN_CODES = {"json_validate_failed", "tool_use_failed", "output_parse_failed"}
"""Groq's: the model's output did not fit. Sampled once more, it usually does."""
FILTER_CODES = {
    "content_filter",
    "content_filtered",
    "content_policy_violation",
    "responsibleaipolicyviolation",  # Azure, as the inner code
    "data_inspection_failed",  # Alibaba
    "datainspectionfailed",
    "moderation_blocked",
    "content_moderation",
    "sensitive",
    "1301",  # Z.ai
    "1026",  # MiniMax: the prompt
    "1027",  # MiniMax: the answer
}
_STATUS_OF: dict[str, int] = {
    "rate_limit_exceeded": 429,
    "rate_limit_error": 429,
    "rate_limited": 429,
    "too_many_requests": 429,
    "resource_exhausted": 429,
    "overloaded": 503,
    "overloaded_error": 503,
    "service_unavailable": 503,
    "unavailable": 503,
    "engine_overloaded": 503,
    "timeout": 408,
    "timeout_error": 408,
    "invalid_api_key": 401,
    "authentication_error": 401,
    "permission_error": 403,
    "payment_required": 402,
    "model_not_found": 404,
    "not_found_error": 404,
    "invalid_request_error": 400,
    "invalid_argument": 400,
    "bad_request": 400,
    "context_length_exceeded": 400,
    # Z.ai: at once, per minute, per day; the model is busy
    **dict.fromkeys(("1302", "1303", "1304"), 429),
    "1305": 503,
    # MiniMax: requests and tokens a minute, the key, wrong parameters
    **dict.fromkeys(("1002", "1039", "1041"), 429),
    **dict.fromkeys(("1004", "2049"), 401),
    "2013": 400,
}
"""Codes inside a 200, with the status that they mean; what is in neither is an error of the server."""
_MONEY = re.compile(
    r"insufficient (?:balance|credits?|funds)|(?:credit balance|balance) is too low|out of credits", re.IGNORECASE
)
_FILTER = re.compile(
    r"content (?:management|filter(?:ing)?) policy|content[_ ]filter|flagged (?:by|for|as)|requires moderation"
    r"|violat\w+ (?:\w+ ){0,4}(?:usage|content|safety) (?:guidelines|polic\w+)|content exists risk|safety system"
    r"|inappropriate content|usage policies",
    re.IGNORECASE,
)
_HTML_TITLE = re.compile(r"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)


class ErrorWords(NamedTuple):
    """An error as it was said."""

    code: str
    """The word for it; empty where there is none."""
    message: str
    """For a person, not yet shortened."""
    number: int | None = None
    """A status inside the body."""
    filtered: bool = False
    """A content filter refused the prompt or the answer."""
    found: bool = False
    """There is an error in the body at all."""

    def status(self, status: int) -> int:
        """The HTTP status that this error would have had: errors inside a 200 obey their own code."""
        if not 200 <= status < 300 or not self.found:
            return status
        if self.number is not None and 400 <= self.number < 600:
            return self.number
        return 402 if self.code.lower() in QUOTA_CODES else _STATUS_OF.get(self.code.lower(), 500)

    def kind(self, status: int) -> tuple[FaultKind, bool]:
        """(kind, retryable). status: from `status` above."""
        code = self.code.lower()
        if code in QUOTA_CODES or (400 <= status < 500 and _MONEY.search(self.message)):
            return "quota", False
        if self.filtered:
            return "filtered", False
        if code in AGAIN_CODES:
            return "broken_off", True
        if code in SHED_CODES or (status == 429 and "resource unavailable" in self.message.lower()):
            return "shed", True
        if status in (400, 401, 403) and code == "invalid_api_key":
            return "auth", False
        if status == 400 and code == "model_not_found":
            return "not_found", False
        return common.by_status(status)


def marked_error(reply: JsonObject) -> object:
    """What a 2xx body has where an error belongs: at the top, in its choice, or, without any choice, in other words."""
    choice, state = common.first_choice(reply.get("choices")), common.mapping(reply.get("base_resp"))
    if state.get("status_code"):  # MiniMax
        return {"code": state["status_code"], "message": state.get("status_msg")}
    if reply.get("error"):
        return reply["error"]
    if choice is not None:
        return choice.get("error")
    plain = any(reply.get(name) for name in ("errors", "detail", "message", "msg", "error_msg"))
    return _loose(reply) if plain else None


def _loose(value: JsonObject) -> object:
    """The error in a body that is nothing else: under a name of its own, or the whole body."""
    return next((value[name] for name in ("error", "detail", "errors") if value.get(name)), value)


def error_words(body: bytes, status: int = 400) -> ErrorWords:
    """What an error body says. status: the reply's; in a 2xx only what is marked as an error counts."""
    value, good = common.error_object(body), 200 <= status < 300
    inner = marked_error(value) or (None if good else _loose(value))
    if isinstance(inner, str) and inner.startswith("{"):  # an object, sent as text
        inner = common.error_object(inner.encode()) or inner
    if not inner:
        return ErrorWords("", "" if good or value else _page(body), found=False)
    if not isinstance(inner, dict):
        message = common.words(inner) if isinstance(inner, (str, list)) else ""
        return _judged("", message or json.dumps(inner), None, status, {})
    number = next((found for name in ("code", "status") if (found := _number(inner.get(name))) is not None), None)
    code = next((word for name in ("code", "type") if (word := _word(inner.get(name)))), "")
    names = ("message", "msg", "error_msg", "error", "detail", "reason")
    message = next((said for name in names if (said := common.words(inner.get(name)))), "")
    return _judged(code, _with_source(message, common.mapping(inner.get("metadata"))), number, status, inner)


def _judged(code: str, message: str, number: int | None, status: int, inner: JsonObject) -> ErrorWords:
    deeper = common.mapping(inner.get("innererror") or inner.get("inner_error"))
    codes = {code.lower(), _word(deeper.get("code")).lower(), str(inner.get("type") or "").lower()}
    words = ErrorWords(code, message, number, found=True)
    refusal = words.status(status) in (400, 403, 422, 451)
    moderated = "flagged_input" in common.mapping(inner.get("metadata"))
    filtered = bool(codes & FILTER_CODES) or moderated or (refusal and _FILTER.search(message) is not None)
    return words._replace(filtered=filtered)


def _with_source(message: str, metadata: JsonObject) -> str:
    """OpenRouter's own words say only that the provider returned an error; the provider's are in `metadata`."""
    raw = metadata.get("raw")
    if isinstance(raw, str) and raw.lstrip().startswith("{"):
        raw = error_words(raw.encode()).message or raw
    source = common.words(raw) or ", ".join(map(str, metadata.get("reasons") or ()))
    name = metadata.get("provider_name")
    if not source or source in message:
        return message
    return f"{message}: {f'{name}: ' if isinstance(name, str) else ''}{source}" if message else source


def _word(value: object) -> str:
    """A code; also one that is a number and no HTTP status."""
    if isinstance(value, int) and not isinstance(value, bool) and 600 <= value < 1_000_000:
        return str(value)
    return value if isinstance(value, str) else ""


def _number(value: object) -> int | None:
    """429, "429" or 429.0 as a number; None for everything else."""
    if isinstance(value, str):
        value = int(value) if value.isascii() and value.isdigit() and len(value) == 3 else None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 100 <= value < 600:
        return None
    return int(value)


def _page(body: bytes) -> str:
    """The words of a body that is not JSON: the title of a page, or a short text as it is."""
    text = body[:20_000].decode("utf-8", "replace").strip()
    if "<" in text[:200]:
        title = _HTML_TITLE.search(text)
        return " ".join(title[1].split()) if title else ""
    return text[:300]
