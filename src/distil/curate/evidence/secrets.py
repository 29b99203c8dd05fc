"""Signals `secrets` and `personal_data`.

Reasons name what was found and where, never the value itself, because dropped.jsonl is read and shared. Patterns, with checksums
where there are any; no guarantee that nothing personal is left.
"""

from __future__ import annotations

import re

from distil.curate.evidence.corpus import Corpus
from distil.curate.evidence.found import Found
from distil.records import Answer, Prompt

_SECRETS = {
    "a private key": re.compile(r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----"),
    "an OpenAI or Anthropic key": re.compile(r"\bsk-(?:ant-|proj-|svcacct-)?[A-Za-z0-9_-]{20,}"),
    "an AWS key id": re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    "a GitHub token": re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{50,})"),
    "a GitLab token": re.compile(r"\bglpat-[A-Za-z0-9_-]{20,}"),
    "a Slack token": re.compile(r"\bxox[abposr]-[A-Za-z0-9-]{10,}"),
    "a Google API key": re.compile(r"\bAIza[0-9A-Za-z_-]{35}\b"),
    "a Stripe key": re.compile(r"\b[rs]k_live_[0-9A-Za-z]{16,}"),
    "a Hugging Face token": re.compile(r"\bhf_[A-Za-z]{30,}\b"),
    "a signed web token": re.compile(r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}"),
}
_EMAIL = re.compile(r"\b[\w.+-]+@[\w-]+(?:\.[\w-]+)*\.[A-Za-z]{2,}\b")
_PHONE = re.compile(r"(?<![\w.])\+\d{1,3}[ .-]?(?:\(?\d{1,4}\)?[ .-]?){2,5}\d{2,4}(?!\w)")
_CARD = re.compile(r"(?<![\w.])\d(?:[ -]?\d){12,18}(?!\w)")
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b")


def secrets(prompt: Prompt, answer: Answer, corpus: Corpus) -> Found | None:
    """A key or token in the question or the answer: a model must not learn it."""
    for where, text in _texts(prompt, answer):
        for kind, pattern in _SECRETS.items():
            if pattern.search(text):
                return Found(1, f"{kind} in the {where}")
    return None


def personal_data(prompt: Prompt, answer: Answer, corpus: Corpus) -> Found | None:
    """An e-mail address, an international phone number, a card number (Luhn) or an IBAN (modulo 97)."""
    for where, text in _texts(prompt, answer):
        if _EMAIL.search(text):
            return Found(1, f"an e-mail address in the {where}")
        if _PHONE.search(text):
            return Found(1, f"a phone number in the {where}")
        if any(_luhn(match.group(0)) for match in _CARD.finditer(text)):
            return Found(1, f"a card number in the {where}")
        if any(_iban(match.group(0)) for match in _IBAN.finditer(text)):
            return Found(1, f"a bank account (IBAN) in the {where}")
    return None


def _texts(prompt: Prompt, answer: Answer) -> list[tuple[str, str]]:
    return [("prompt", "\n".join(m.text for m in prompt.messages)), ("answer", answer.text)]


def _luhn(text: str) -> bool:
    digits = [int(c) for c in text if c.isdigit()]
    doubled = [d if i % 2 == 0 else 2 * d - 9 * (d > 4) for i, d in enumerate(reversed(digits))]
    return len(set(digits)) > 1 and sum(doubled) % 10 == 0


def _iban(text: str) -> bool:
    compact = text.replace(" ", "")
    rearranged = compact[4:] + compact[:4]
    return 15 <= len(compact) <= 34 and int("".join(str(int(c, 36)) for c in rearranged)) % 97 == 1
