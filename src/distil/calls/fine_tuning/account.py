"""A provider's account as the HTTP of slow requests needs it: the address, the key's header, and what a refusal means here."""

from __future__ import annotations

from collections.abc import Mapping

from distil.calls.faults import Fault
from distil.calls.providers import common, error_words


class Account:
    """One account. serves: the address of the API that answers questions, where it is not the provider's usual one."""

    def __init__(
        self,
        title: str,
        base_url: str,
        headers: dict[str, str],
        *,
        key: str,
        variable: str,
        serves: str | None = None,
    ) -> None:
        self.name = title
        self.serves = serves
        self.base_url = base_url.rstrip("/")
        self._headers = headers
        self._key = key
        self._variable = variable

    def headers(self) -> dict[str, str]:
        """Carries the key."""
        return dict(self._headers)

    def fault(self, status: int, headers: Mapping[str, str], body: bytes) -> Fault:
        """A refusal in words, with what to do; never holds the key."""
        words = error_words.error_words(body, status)
        kind, retryable = words.kind(status)
        said = common.shorten(words.message or words.code, self._key)
        quoted = f" It says: {said.rstrip('.')}." if said else ""
        if status == 403:
            message = (
                f"{self.name} does not allow this to the key in {self._variable} (403).{quoted} The account may lack the "
                "right to "
                "fine-tune, or this model; its console shows both."
            )
            return Fault("auth", message, retryable=False)
        advice = {
            "auth": f"{self.name} refused the API key ({status}).{quoted} It was read from {self._variable}: set a valid one.",
            "quota": f"{self.name} has no credit left for this account ({status}).{quoted} Add some in its console and run "
            "again.",
            "not_found": f"{self.name} does not have what was asked for ({status}).{quoted}",
            "rate_limit": f"{self.name} says that there are too many requests or jobs at once ({status}).{quoted} Run again "
            "later.",
        }
        message = advice.get(kind, f"{self.name} refused the request ({status}).{quoted}")
        return Fault(kind, message, common.retry_after_s(headers), retryable)
