"""Personal data in a text: e-mail addresses, phone and social security numbers, IP addresses, bank accounts and cards.

Patterns, with checksums where there are any (Luhn: ISO/IEC 7812-1; IBAN: ISO 13616, modulo 97). Names and postal addresses are
not found, and there is no guarantee that nothing personal is left.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from distil.secrets import Found, without_overlap

_DIGIT = re.compile(r"\d")
_NUMBER = re.compile(r"\d(?:\W{0,3}\d){6}|\d\.\d{1,3}\.\d|[A-Za-z]{2}\d\d|[0-9A-Fa-f]:[0-9A-Fa-f]{0,4}:")
"""What one of the searches for numbers could find: nearly all texts have none."""
_EMAIL = re.compile(r"(?<![\w.+-])[\w.+%-]{1,64}@(?:[\w-]+\.)+[^\W\d_]{2,24}(?![\w@])")
_NO_EMAIL = re.compile(r"^(?:git|hg|svn)@|\.(?:png|jpe?g|gif|svg|webp|css|js|html?)$", re.IGNORECASE)
_PHONE = re.compile(
    r"(?<![\w.+])(?:"
    r"(?:\+|00(?=[1-9]))[1-9]\d{0,2}[ ./-]?(?:\(\d{1,5}\)[ ./-]?)?\d{1,5}(?:[ ./-]?\d{2,5}){1,5}"  # international
    r"|(?:1[-. ]?)?\(\d{3}\) ?\d{3}[-. ]\d{4}"  # North America
    r"|(?:1[-. ])?\d{3}(?P<s>[-.])\d{3}(?P=s)\d{4}"
    r"|0\d(?P<f>[ .-])\d{2}(?:(?P=f)\d{2}){3}"  # France
    r"|\(?0\d{2,4}\)?[ /-]\d{3,4}[ -]?\d{3,4}"  # United Kingdom, Germany, Italy, ...
    r"|0\d{1,3}-\d{1,4}-\d{4}"  # Japan, Korea
    r")(?![\w-]|\.\d)"
)
_ANY_PHONE = re.compile(
    r"(?i)(?:\b(?:phone|tel|telephone|mobile|cell|call|fax|whatsapp|telefon|handy|telefono|teléfono|móvil|téléphone)\b|电话|手机|電話|携帯)"
    r"[^\d\n+]{0,24}(?P<number>\+?\(?\d(?:[ ()./-]{0,2}\d){6,13})(?!\d)"
)
_SSN = re.compile(r"(?<![\w-])(?!000|666|9\d\d)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\w-])")
_ANY_SSN = re.compile(
    r"(?i)\b(?:ssn|social security (?:number|no\.?|#))\D{0,12}(?P<number>\d{3}[ -]?\d{2}[ -]?\d{4})(?!\d)"
)
_IPV4 = re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w]|\.\d)")
_IPV6 = re.compile(r"(?<![\w:.])(?=[0-9A-Fa-f:]*\d)[0-9A-Fa-f]{1,4}:[0-9A-Fa-f:]*:[0-9A-Fa-f]{1,4}(?![\w:])")
_IP_WORDS = re.compile(r"(?i)\b(?:ip|ips|ipv4|address|host|server|ping|ssh|from|client|subnet|gateway|dns)\b")
_VERSION_WORDS = re.compile(r"(?i)(?:\bv|version|release|build|section|chapter|\bver|[/=])[ .:]*$")
_PUBLIC_RESOLVERS = frozenset({"8.8.8.8", "8.8.4.4", "1.1.1.1", "1.0.0.1", "9.9.9.9"})
_CARD = re.compile(r"(?<![\w.+-])(?=[2-6])\d(?:[ -]?\d){12,18}(?![\w-]|\.\d)")
_CARD_NUMBER = re.compile(
    r"4\d{12}(?:\d{3}|\d{6})?|5[1-5]\d{14}|2[2-7]\d{14}|3[47]\d{13}|3(?:0[0-5]|[68]\d)\d{11}|35\d{14}|6(?:011|5\d\d)\d{12}|62\d{14,17}"
    r"|(?:5[0678]|6[0-9])\d{11,17}"
)
_IBAN_START = re.compile(r"(?<![A-Za-z0-9])([A-Za-z]{2})\d{2}(?=[ -]?[A-Za-z0-9]{4})")
_IBAN_LENGTHS = {
    code: int(length)
    for length, codes in {
        "15": "NO",
        "16": "BE",
        "18": "DK FI FO GL NL",
        "19": "MK SI",
        "20": "AT BA EE KZ LT LU XK",
        "21": "CH HR LI LV",
        "22": "BG BH CR DE GB GE IE ME RS VA",
        "23": "AE GI IL IQ TL",
        "24": "AD CZ ES MD PK RO SA SE SK TN VG",
        "25": "LY PT ST",
        "26": "IS TR",
        "27": "FR GR IT MC MR SM",
        "28": "AL AZ BY CY DO GT HU LB PL SV",
        "29": "BR EG PS QA UA",
        "30": "JO KW MU",
        "31": "MT SC",
        "32": "LC",
    }.items()
    for code in codes.split()
}
"""Characters of an account number by country (SWIFT's IBAN registry)."""


def find_personal(text: str) -> list[Found]:
    """The personal data in a text in their order; none overlaps another."""
    found: list[Found] = []
    if "@" in text:
        found += _emails(text)
    if _DIGIT.search(text) and _NUMBER.search(text):
        for search in (_ibans, _cards, _social_security, _addresses, _phones):
            found += search(text)
    return _by_weight(found)


def _by_weight(found: list[Found]) -> list[Found]:
    """Without overlaps; what has a checksum goes before what only looks like a number."""
    kept: list[Found] = []
    for item in found:
        if all(item.end <= other.start or item.start >= other.end for other in kept):
            kept.append(item)
    return without_overlap(kept)


def _emails(text: str) -> Iterator[Found]:
    for match in _EMAIL.finditer(text):
        before = text[max(0, match.start() - 80) : match.start()]
        if not _NO_EMAIL.search(match[0]) and not re.search(r"://[^\s/]*$", before):
            yield Found("an e-mail address", "EMAIL", match.start(), match.end())


def _phones(text: str) -> Iterator[Found]:
    for match in _PHONE.finditer(text):
        if 8 <= sum(map(str.isdigit, match[0])) <= 15 and not _is_date(match[0]):
            yield Found("a phone number", "PHONE", match.start(), match.end())
    for match in _ANY_PHONE.finditer(text):
        if not _is_date(match["number"]):
            yield Found("a phone number", "PHONE", match.start("number"), match.end("number"))


def _is_date(text: str) -> bool:
    return (
        re.fullmatch(r"(?:19|20)\d\d[-/. ]\d{1,2}[-/. ]\d{1,2}|\d{1,2}[-/. ]\d{1,2}[-/. ](?:19|20)\d\d", text)
        is not None
    )


def _social_security(text: str) -> Iterator[Found]:
    for match in _SSN.finditer(text):
        yield Found("a social security number", "SSN", match.start(), match.end())
    for match in _ANY_SSN.finditer(text):
        yield Found("a social security number", "SSN", match.start("number"), match.end("number"))


def _addresses(text: str) -> Iterator[Found]:
    for match in (*_IPV4.finditer(text), *_IPV6.finditer(text)):
        try:
            address = ipaddress.ip_address(match[0])
        except ValueError:
            continue
        before = text[max(0, match.start() - 40) : match.start()]
        if match[0] in _PUBLIC_RESOLVERS or match[0].startswith(("0.", "255.")) or _VERSION_WORDS.search(before):
            continue
        documented = address in _DOCUMENTED  # like example.com: no machine's, yet written where one would be
        if not documented and (
            address.is_private or address.is_loopback or address.is_multicast or address.is_link_local
        ):
            continue
        small = address.version == 4 and all(int(part) < 20 for part in match[0].split("."))
        if not small or _IP_WORDS.search(before):
            yield Found("an IP address", "IP_ADDRESS", match.start(), match.end())


class _Networks(tuple[ipaddress.IPv4Network, ...]):
    def __contains__(self, address: object) -> bool:
        return isinstance(address, ipaddress.IPv4Address) and any(address in network for network in self)


_DOCUMENTED = _Networks(map(ipaddress.IPv4Network, ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24")))  # RFC 5737


def _cards(text: str) -> Iterator[Found]:
    for match in _CARD.finditer(text):
        digits = "".join(filter(str.isdigit, match[0]))
        if _CARD_NUMBER.fullmatch(digits) and _luhn(digits):
            yield Found("a card number", "CARD", match.start(), match.end())


def _luhn(digits: str) -> bool:
    doubled = [int(d) if i % 2 == 0 else 2 * int(d) - 9 * (int(d) > 4) for i, d in enumerate(reversed(digits))]
    return len(set(digits)) > 1 and sum(doubled) % 10 == 0


def _ibans(text: str) -> Iterator[Found]:
    for match in _IBAN_START.finditer(text):
        length = _IBAN_LENGTHS.get(match[1].upper())
        if length is None:
            continue
        compact, at = "", match.start()
        while len(compact) < length and at < len(text):
            if text[at].isalnum():
                compact += text[at]
            elif not (text[at] in " -" and text[at - 1].isalnum()):
                break
            at += 1
        ends = at == len(text) or not text[at].isalnum()
        if len(compact) == length and ends and compact.isascii() and _iban(compact):
            yield Found("a bank account (IBAN)", "IBAN", match.start(), at)


def _iban(compact: str) -> bool:
    return int("".join(str(int(c, 36)) for c in compact[4:] + compact[:4])) % 97 == 1
