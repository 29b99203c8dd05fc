"""What every provider's reading of a reply has in common: nothing that a server sends can crash it, and only whole answers pass.

`parses` goes around `parse`, `sorts` around `fault`, of every HTTP provider. Not a wire format.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from typing import TypeVar

from distil.calls.faults import Fault, GarbledReply
from distil.calls.providers import common
from distil.calls.providers.base import Parsed
from distil.calls.request import JsonObject
from distil.endings import ending
from distil.records import Usage
from distil.text import one_line
from distil.thinking import combine, part

PAID_TRIES = 3
"""Tries for what is paid for each time and may well come out the same."""
MAX_TOKENS = 1 << 40
"""More in one reply can't be a count of tokens, and could not be stored."""
SHOWN = 80
Provider = TypeVar("Provider")
Parse = Callable[[Provider, int, Mapping[str, str], bytes], Parsed]
Sort = Callable[[Provider, int, Mapping[str, str], bytes], Fault]


def parses(read: Parse[Provider]) -> Parse[Provider]:
    """Around a `parse`: whatever goes wrong in it is a GarbledReply, thinking is parted, a bad ending isn't an answer."""

    @functools.wraps(read)
    def parse(self: Provider, status: int, headers: Mapping[str, str], body: bytes) -> Parsed:
        try:
            return finished(read(self, status, headers, body))
        except GarbledReply:
            raise
        except Exception as error:  # a reply has more shapes than anyone can list: none may end a run
            message = f"the reply has an unexpected shape ({type(error).__name__}): {excerpt(body)}"
            raise GarbledReply(message, fault=Fault("garbled", message, most=PAID_TRIES)) from error

    return parse


def sorts(classify: Sort[Provider]) -> Sort[Provider]:
    """Around a `fault`: words of an unexpected shape are shown as they are, and the status decides."""

    @functools.wraps(classify)
    def fault(self: Provider, status: int, headers: Mapping[str, str], body: bytes) -> Fault:
        try:
            return classify(self, status, headers, body)
        except Exception:  # as in `parses`
            kind, retryable = common.by_status(status)
            return Fault(kind, f"The server answered {status}: {excerpt(body)}", None, retryable)

    return fault


def finished(parsed: Parsed) -> Parsed:
    """The reply with thinking and answer apart. Raises GarbledReply when it did not end as an answer does."""
    text, thinking = part(parsed.text)
    usage = parsed.usage if max(vars(parsed.usage).values()) <= MAX_TOKENS else Usage()
    if thinking is not None or text != parsed.text or usage is not parsed.usage:
        update: dict[str, object] = {"text": text, "reasoning": combine(parsed.reasoning, thinking), "usage": usage}
        if parsed.logprobs is not None and text != parsed.text:
            update["logprobs"] = _of_ending(parsed.logprobs, text)
        parsed = parsed.model_copy(update=update)
    if ending(parsed.finish_reason) == "fault":
        said = f": {one_line(parsed.text, SHOWN)!r}" if parsed.text.strip() else ""
        message = f"the answer broke off (finish_reason {one_line(parsed.finish_reason, SHOWN)}){said}"
        raise GarbledReply(message, fault=Fault("broken_off", message, most=PAID_TRIES), usage=usage)
    return parsed


def _of_ending(tokens: list[JsonObject], text: str) -> list[JsonObject] | None:
    """The log-probabilities of the answer without the thinking before it; None where the tokens don't say where it begins."""
    joined = ""
    for start in range(len(tokens) - 1, -1, -1):
        joined = f"{tokens[start].get('token')}{joined}"
        if joined.lstrip() == text:
            return tokens[start:]
        if len(joined.strip()) > len(text):
            break
    return None


def parse_local(body: bytes) -> Parsed:
    """A reply of a model that answered in this process, as the ledger keeps it. Raises GarbledReply or ValueError."""
    return finished(Parsed.model_validate_json(body))


def wrong_shape(message: str, reply: Mapping[str, object]) -> GarbledReply:
    """For a JSON object that is not this provider's reply. It names the keys, and is asked again only a few times."""
    keys = one_line(", ".join(sorted(map(str, reply))[:8]), SHOWN) or "none"
    message = f"{message} (its keys: {keys}): {one_line(json.dumps(reply, ensure_ascii=False), 2 * SHOWN)}"
    return GarbledReply(message, fault=Fault("garbled", message, most=PAID_TRIES))


def excerpt(body: bytes) -> str:
    """The beginning of a body, fit to be shown."""
    return common.shorten(body[: 4 * common.MAX_MESSAGE].decode("utf-8", "replace"), None)
