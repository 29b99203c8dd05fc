"""Keys, tokens and passwords in a text: one table of patterns for the filters, for masking, and for what is shown of an error.

Formats as their issuers write them (compared with detect-secrets 1.5.0: docs/results_data.md). Placeholders are not counted: what
says that it is one (`sk-your-key-here`, AWS's AKIAIOSFODNN7EXAMPLE), a run of x, a variable. Patterns, not proof: a password that
nothing announces is not found. Standard library only.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import NamedTuple


class Found(NamedTuple):
    """One secret or personal datum in a text."""

    kind: str
    """In words, for a reason: "an AWS key id"."""
    label: str
    """The word in its placeholder: API_KEY, PASSWORD, EMAIL, ..."""
    start: int
    """First character."""
    end: int
    """First character behind it."""


class _Kind(NamedTuple):
    name: str
    hints: tuple[str, ...]
    """One of these is in every text that the pattern matches: searching for a literal is a hundred times cheaper."""
    pattern: re.Pattern[str]
    """The group `secret`, where it has one, is the secret; else the whole match is."""
    label: str = "API_KEY"
    lowered: bool = False
    """The hints are looked for in the text in lower case."""
    strength: float = 0.0
    """Least entropy in bits per character: for what only its name announces."""


def _kind(name: str, hints: str, pattern: str, label: str = "API_KEY") -> _Kind:
    return _Kind(name, tuple(hints.split()), re.compile(pattern), label)


def _named(name: str, hints: str, pattern: str, label: str, strength: float = 0.0) -> _Kind:
    return _Kind(name, tuple(hints.split()), re.compile(pattern, re.IGNORECASE | re.MULTILINE), label, True, strength)


_ASSIGNED = r"[\"'\]]{0,2}\s{0,4}(?::=|=>|={1,3}|:)\s{0,4}"
_QUOTED = r"(?:[rbuf]{0,2}(?P<quote>[\"'`])(?P<secret>[^\"'`\s]{6,200})(?P=quote))"
_BARE = r"(?P<secret>[^\s\"'`<>{}()\[\],;$%]{8,200})(?=[\s,;\"']|$)"

_KINDS: tuple[_Kind, ...] = (
    _Kind(
        "a private key",
        ("PRIVATE KEY", "PuTTY-User-Key", "AGE-SECRET-KEY-"),
        re.compile(
            r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----"
            r"(?:[\s\S]{0,8000}?-----END (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----|[A-Za-z0-9+/=\s]{0,8000})"
            r"|PuTTY-User-Key-File-\d[\s\S]{0,8000}?Private-MAC: *\w+|AGE-SECRET-KEY-1[0-9A-Z]{58}"
        ),
        "PRIVATE_KEY",
    ),
    _kind(
        "an OpenAI or Anthropic key",
        "sk-",
        r"\bsk-(?:(?:ant|proj|svcacct|admin|or|lf|kimi)-[A-Za-z0-9_-]{20,}|(?=[A-Za-z]*\d)[A-Za-z0-9]{20,})(?![A-Za-z0-9-])",
    ),
    _kind(
        "a key of a model provider",
        "gsk_ xai- pplx- r8_ fw_ csk- nvapi- pcsk_ lsv2_ tvly-",
        r"\b(?:gsk_[A-Za-z0-9]{20,}|xai-[A-Za-z0-9]{40,}|pplx-[A-Za-z0-9]{40,}|r8_[A-Za-z0-9]{37,}|fw_[A-Za-z0-9]{20,}"
        r"|csk-[a-z0-9]{40,}|nvapi-[A-Za-z0-9_-]{40,}|pcsk_[A-Za-z0-9_]{40,}|lsv2_(?:pt|sk)_[0-9a-f]{32}_[0-9a-f]{10}"
        r"|tvly-(?:dev-|prod-)?[A-Za-z0-9-]{20,})",
    ),
    _kind("an AWS key id", "AKIA ASIA ABIA ACCA", r"\b(?:AKIA|ASIA|ABIA|ACCA)[0-9A-Z]{16}\b"),
    _named(
        "an AWS secret key",
        "aws secretaccesskey secret_access_key secret-access-key akia asia",
        r"(?:aws.{0,40}?(?:secret|key|token|pass|pwd)|secret[_ -]?(?:access)?[_ -]?key|\b(?:AKIA|ASIA)[0-9A-Z]{16}\b)"
        r"[^\n]{0,20}?[\s\"'=:,|]+(?P<secret>(?=[^\s\"']*[0-9+/])[A-Za-z0-9/+]{40})(?![A-Za-z0-9/+=])",
        "API_KEY",
        3.5,
    ),
    _kind(
        "a GitHub token",
        "ghp_ gho_ ghu_ ghs_ ghr_ github_pat_",
        r"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{50,})",
    ),
    _kind(
        "a GitLab token",
        "glpat- gldt- glft- glsoat- glrt- glcbt- glimt- glptt- glagent- gloas- GR1348941",
        r"\b(?:gl(?:pat|dt|ft|soat|rt|cbt|imt|ptt|agent|oas)-[A-Za-z0-9_.-]{20,}|GR1348941[A-Za-z0-9_-]{20,})",
    ),
    _kind(
        "a Slack token", "xox xapp-", r"\b(?:xox[abeoprs](?:-|\.xox[bp]-)[A-Za-z0-9-]{10,}|xapp-\d-[A-Za-z0-9-]{10,})"
    ),
    _kind(
        "a webhook address",
        "hooks.slack.com /api/webhooks/ webhook.office.com",
        r"https://(?:hooks\.slack\.com/(?:services|workflows|triggers)/[A-Za-z0-9_/]{20,}"
        r"|(?:[a-z]+\.)?discord(?:app)?\.com/api/webhooks/\d{15,}/[\w-]{30,}|[\w-]+\.webhook\.office\.com/webhookb2/[\w@/-]{60,})",
        "WEBHOOK",
    ),
    _kind(
        "a Google key",
        "AIza GOCSPX- ya29.",
        r"\b(?:AIza[0-9A-Za-z_-]{35}(?![0-9A-Za-z_-])|GOCSPX-[\w-]{28}|ya29\.[0-9A-Za-z_-]{20,})",
    ),
    _kind(
        "a Stripe key",
        "k_live_ k_test_ k_prod_ whsec_",
        r"\b(?:[rs]k_(?:live|test|prod)_[0-9A-Za-z]{16,}|whsec_[A-Za-z0-9+/]{24,})",
    ),
    _kind("a Hugging Face token", "hf_ api_org_", r"\b(?:hf|api_org)_[A-Za-z0-9]{30,}\b"),
    _kind(
        "a signed web token",
        "eyJ",
        r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}",
        "TOKEN",
    ),
    _kind(
        "an Azure key",
        "AccountKey= SharedAccessKey= sig= 8Q~ 7Q~",
        r"(?:AccountKey|SharedAccessKey)=(?P<secret>[A-Za-z0-9+/]{40,}={0,2})|[?&]sig=(?P<secret2>[A-Za-z0-9%+/]{40,}={0,2})"
        r"|(?<![\w~.-])(?P<secret3>[\w~.]{3}[78]Q~[\w~.-]{31,34})(?![\w~.-])",
    ),
    _kind(
        "an npm token",
        "npm_ _authToken=",
        r"\bnpm_[A-Za-z0-9]{36,}|:_authToken=\s*(?P<secret>[A-Za-z0-9_-]{20,})",
        "TOKEN",
    ),
    _kind("a PyPI token", "pypi-", r"\bpypi-[A-Za-z0-9_-]{50,}", "TOKEN"),
    _kind("a SendGrid key", "SG.", r"\bSG\.[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{16,64}"),
    _kind("a Twilio key", "AC SK", r"\b(?:AC|SK)[0-9a-f]{32}\b"),
    _kind(
        "a Telegram bot token",
        ":AA",
        r"(?<![\d:])\d{8,10}:AA[A-Za-z0-9_-]{33}(?![\w-])",
        "TOKEN",
    ),
    _kind(
        "a Discord token",
        "M N O",
        r"(?<![\w.-])[MNO][A-Za-z\d_-]{23,27}\.[A-Za-z\d_-]{6}\.[A-Za-z\d_-]{27,40}(?![\w-])",
        "TOKEN",
    ),
    _kind(
        "a key of a mail service",
        "key- -us -",
        r"\b(?:pub)?key-[0-9a-f]{32}\b|\b[0-9a-f]{32}-us\d{1,2}\b"
        r"|(?<=(?P<secret>\b[0-9a-f]{32}))-[0-9a-f]{8}-[0-9a-f]{8}\b",
    ),
    _kind("a DigitalOcean token", "_v1_", r"\bdo[opr]_v1_[a-f0-9]{64}\b", "TOKEN"),
    _kind(
        "a key of a cloud or developer service",
        "HRKU- dapi dckr_pat_ hvs. hvb. .atlasv1. glsa_ NRAK- sntry ntn_ lin_api_ sbp_ figd_ PMAK- pscale_ dp.pt. rubygems_ "
        "ATATT3 ATBB LTAI AKCp shp sq0 EAAA APA91b dt0c01. EAACEdEose0cBA",
        r"\b(?:HRKU-[A-Za-z0-9_-]{30,}|dapi[a-f0-9]{32}(?:-\d)?|dckr_pat_[\w-]{20,}|hv[sb]\.[\w-]{24,}|\w{14}\.atlasv1\.[\w-]{60,}"
        r"|glsa_\w{32}_[A-Fa-f0-9]{8}|NRAK-[A-Z0-9]{27}|sntry[su]_[\w=+/-]{40,}|ntn_\w{40,}|lin_api_\w{40}|sbp_[a-f0-9]{40}"
        r"|figd_[\w-]{40,}|PMAK-[a-f0-9]{24}-[a-f0-9]{34}|pscale_(?:tkn|pw|oauth)_[\w.=-]{32,}|dp\.pt\.\w{43}|rubygems_[a-f0-9]{48}"
        r"|ATATT3[\w=-]{100,}|ATBB[A-Za-z0-9]{32}|LTAI[A-Za-z0-9]{20}|AKCp\w{69}|shp(?:at|ss|ca|pa)_[a-fA-F0-9]{32}"
        r"|sq0(?:csp|atp)-[\w-]{22,43}|EAAA[\w-]{60}|APA91b[\w-]{100,}|dt0c01\.[A-Z0-9]{24}\.[A-Z0-9]{64}|EAACEdEose0cBA\w{20,})",
    ),
    _kind(
        "a password in an address",
        "://",
        r"\b[a-zA-Z][a-zA-Z0-9+.-]{1,20}://(?P<user>[^\s:/@\"'<>?#]{0,60}):(?P<secret>[^\s:/@\"'<>]{3,100})@(?=[\w\[])",
        "PASSWORD",
    ),
    _named(
        "a key of Heroku",
        "heroku",
        r"heroku[^\n]{0,40}?(?:key|token|secret)[^\n]{0,10}?[\s\"'=:]+(?P<secret>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\b",
        "API_KEY",
    ),
    _named(
        "a password",
        "password passwd pwd passphrase",
        rf"(?:password|passwd|pwd|passphrase){_ASSIGNED}{_QUOTED}",
        "PASSWORD",
    ),
    _named(
        "a password",
        "password passwd pwd passphrase",
        rf"(?:password|passwd|pwd|passphrase)\s{{0,4}}[:=]\s{{0,4}}{_BARE}",
        "PASSWORD",
        2.75,
    ),
    _named(
        "a key or token",
        "key token secret credential",
        r"(?:api[_ -]?key|auth[_-]?(?:key|token)|access[_-]?(?:key|token)|account[_-]?key|refresh[_-]?token"
        r"|(?:bearer|bot)[_-]?token"
        r"|secret(?:[_-]?(?:key|token))?|(?:client|app)[_-]?secret|(?:private|signing|encryption)[_-]?key|_token|_secret|_key"
        rf"|\btoken|credentials?){_ASSIGNED}(?:[rbuf]{{0,2}}[\"'`])?(?P<secret>[A-Za-z0-9_\-./+~]{{16,200}}={{0,2}})(?=[\"'`\s,;]|$)",
        "API_KEY",
        3.0,
    ),
    _named(
        "an authorization header",
        "bearer basic",
        r"\b(?:authorization[\"']?\s*[:=]\s*[\"']?)?(?:bearer|basic)\s+(?P<secret>(?=[^\s\"']*\d)[A-Za-z0-9_\-./+~]{20,}={0,2})",
        "TOKEN",
        3.0,
    ),
)

_SAYS_SO = re.compile(r"example|your|placeholder|dummy|redacted|x{6}|\*{3}|\.{3}|-here\b|_here\b", re.IGNORECASE)
_DUMMY = re.compile(
    r"example|your|placeholder|dummy|sample|redacted|change_?me|insert|replace|goes|here\b|xxx|\*\*\*|\.\.\.|…",
    re.IGNORECASE,
)
_TRIVIAL = re.compile(
    r"^(?:my|the|some|test|fake|foo|user|admin|root|guest|demo|super|secure|strong|new|old|db|mysql|postgres|default)?[_-]?"
    r"(?:password|passwd|passw0rd|p[a@]ssw[o0]rd|pass|pwd|secret|key|token|string|user|admin|root|guest|none|null|true|false|test|tiger)"
    r"[_-]?(?:key|value|hash|token|\d{0,4})[!@#$]?$",
    re.IGNORECASE,
)
_VARIABLE = re.compile(
    r"^[$%{<\[]|[}>]$|\$\{|\{\{|process\.env|os\.environ|getenv|^[A-Z][A-Z_]+$|^[a-z_]+(?:\.[a-z_]+)+$"
    r"|^[a-z]+(?:[_./-](?:[a-z]+|v?\d{1,4}))*$"
    r"|^[A-Za-z_]\w*(?:\.[A-Za-z_]\w*){2,}$"
)
_LOOSE = re.compile(r"\b(?:(?:sk|key|gsk|xai|csk|fw)[-_]|AIza)[-_A-Za-z0-9*.]{6,}")
_SHORT_HINTS = ("passw", "pwd", "passphrase", "://", "private key")
"""Of the secrets that may have fewer than 16 characters in a row."""
_ISSUED = {kind.name for kind in _KINDS if not kind.lowered} - {"a password in an address"}


def find_secrets(text: str) -> list[Found]:
    """The secrets in a text in their order; none overlaps another. Placeholders are left out."""
    found: list[Found] = []
    lower = text.lower()
    inner = [word[1:-1] for word in text.split() if len(word) >= 16]
    if all(word.isalpha() and word.islower() for word in inner) and not any(hint in lower for hint in _SHORT_HINTS):
        return found  # nearly all texts
    for kind in _KINDS:
        haystack = lower if kind.lowered else text
        for hint in kind.hints:
            if hint in haystack:
                found += _matches(kind, text)
                break
    return without_overlap(found)


def hide_secrets(text: str) -> str:
    """A text to show, with `***` for each secret and for whatever begins like a key, such as a provider's half-masked echo."""
    return _LOOSE.sub("***", replace_found(text, find_secrets(text), lambda _: "***"))


def without_overlap(found: list[Found]) -> list[Found]:
    """In the order of the text; of two that overlap the earlier one, and of two that start together the longer."""
    kept: list[Found] = []
    for item in sorted(found, key=lambda f: (f.start, -f.end)):
        if not kept or item.start >= kept[-1].end:
            kept.append(item)
    return kept


def replace_found(text: str, found: list[Found], by: Callable[[Found], str]) -> str:
    """The text with each finding replaced. found: in order, without overlap."""
    parts, at = [], 0
    for item in found:
        parts += [text[at : item.start], by(item)]
        at = item.end
    return "".join([*parts, text[at:]])


def _matches(kind: _Kind, text: str) -> Iterator[Found]:
    for match in kind.pattern.finditer(text):
        group = next((name for name, value in match.groupdict().items() if name.startswith("secret") and value), 0)
        value = match[group]
        if kind.label != "PRIVATE_KEY" and _harmless(kind, value, match.groupdict().get("user")):
            continue
        yield Found(kind.name, kind.label, match.start(group), match.end(group))


def _harmless(kind: _Kind, value: str, user: str | None) -> bool:
    """A placeholder, a variable, or too plain to be what its name says."""
    if kind.name in _ISSUED:
        return _SAYS_SO.search(value) is not None
    if _DUMMY.search(value) or _VARIABLE.search(value):
        return True
    if _TRIVIAL.search(value) and not (any(c.isupper() for c in value) and any(c.isdigit() for c in value)):
        return True
    if kind.label == "PASSWORD":
        plain = value.isalpha() and (value.islower() or value.isupper() or value.istitle())
        return (plain and user is None) or (kind.strength > 0 and (entropy(value) < kind.strength or not _mixed(value)))
    return entropy(value) < kind.strength or not any(c.isdigit() for c in value)


def entropy(text: str) -> float:
    """Shannon entropy of the characters of a text, in bits per character; 0 for an empty one."""
    return -sum(n / len(text) * math.log2(n / len(text)) for n in Counter(text).values())


def _mixed(value: str) -> bool:
    """Letters and digits, and two cases or a symbol: a word of prose after `password:` is not."""
    has_both = any(c.isalpha() for c in value) and any(c.isdigit() for c in value)
    return has_both and (value != value.lower() or not value.isalnum())
