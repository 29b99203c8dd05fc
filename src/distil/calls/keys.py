"""API keys: read from the environment, cleaned of what pasting adds, and taken out of error texts.

A key is never looked for in an answer: `EMPTY`, `ollama` or `none` are keys to some servers and words in many answers.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping

from distil.errors import UserError

SECRET_HEADERS = ("authorization", "x-api-key", "x-goog-api-key", "api-key", "x-amz-security-token")
HIDDEN = "[key]"
REAL_LENGTH = 16
_QUOTES = "\"'`\u2018\u2019\u201c\u201d"
_INVISIBLE = "\ufeff\u200b\u2060"


def clean_key(text: str, variable: str) -> str:
    """The key without blanks, quotes and `Bearer ` around it; empty when nothing is left.

    Raises UserError, without repeating the key, when what is left can't be one: a blank or a line break inside, a letter
    that no header can carry.
    """
    key, before = text.strip(" \t\r\n\xa0" + _INVISIBLE), None
    while key != before:
        before = key
        if len(key) > 1 and key[0] in _QUOTES and key[-1] in _QUOTES:
            key = key[1:-1]
        key = re.sub(r"^(?:Authorization:\s*)?Bearer(?:\s+|$)", "", key, flags=re.IGNORECASE).strip(
            " \t\r\n\xa0" + _INVISIBLE
        )
    wrong = next((place for place, sign in enumerate(key) if not "!" <= sign <= "~"), None)
    if wrong is not None:
        raise UserError(
            f"The key in {variable} holds {_named(key[wrong])} (its character {wrong + 1} of {len(key)}), which no API key has. "
            f"It was probably cut or joined while pasting. Set it again, on one line: export {variable}='...'"
        )
    return key


def _named(sign: str) -> str:
    if sign in "\r\n":
        return "a line break"
    if sign.isspace():
        return "a blank"
    name = unicodedata.name(sign, "").lower()
    return f"the sign U+{ord(sign):04X}" + (f" ({name})" if name else "")


def looks_real(key: str) -> bool:
    """Long and varied, as keys that cost money are; not a word that stands where a server wants some key."""
    return len(key) >= REAL_LENGTH and len(set(key)) >= 8


def secrets(headers: Mapping[str, str]) -> list[str]:
    """The real-looking keys that a request's headers carry."""
    values = (value for name, value in headers.items() if name.lower() in SECRET_HEADERS)
    return [secret for value in values if looks_real(secret := value.removeprefix("Bearer ").strip())]


def hide(text: str, keys: Iterable[str | None]) -> str:
    """An error text without the keys, as far as they look like real ones. Not for answers."""
    for key in keys:
        if key and looks_real(key):
            text = text.replace(key, HIDDEN)
    return text


def hide_bytes(body: bytes, keys: Iterable[str]) -> bytes:
    """The same for the body of a refusal (never that of an answer)."""
    for key in keys:
        if looks_real(key):
            body = body.replace(key.encode(), HIDDEN.encode())
    return body
