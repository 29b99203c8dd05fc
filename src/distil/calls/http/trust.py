"""TLS: which certificates are trusted, and what a failed handshake means for a person.

aiohttp is not imported here.
"""

from __future__ import annotations

import asyncio
import functools
import os
import ssl

from distil.errors import UserError

PROBE_S = 2.0
BUNDLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
"""Variables with a file of certificates to trust, the first that is set; SSL_CERT_DIR is read by OpenSSL itself."""


def context() -> ssl.SSLContext | bool:
    """What aiohttp's `ssl` wants: True, or a context with the certificates of the first variable in BUNDLES as well.

    Raises UserError when its file can't be read.
    """
    variable = next((name for name in BUNDLES if os.environ.get(name)), None)
    return True if variable is None else _context(variable, os.environ[variable])


@functools.cache
def _context(variable: str, path: str) -> ssl.SSLContext:
    try:
        made = ssl.create_default_context()
        made.load_verify_locations(**{"capath" if os.path.isdir(path) else "cafile": path})
    except (OSError, ssl.SSLError) as error:
        reason = "it holds no certificate in PEM form" if isinstance(error, ssl.SSLError) else error.strerror
        raise UserError(
            f"{variable} names {path}, which can't be read as certificates: {reason}. Correct it, or unset {variable}."
        ) from None
    return made


def explain(error: BaseException, host: str) -> str | None:
    """What failed in a handshake with `host`, and what to do; None when TLS did not fail."""
    found = next((part for part in _parts(error) if isinstance(part, ssl.SSLError)), None)
    if found is None:
        return None
    if isinstance(found, ssl.SSLCertVerificationError):
        return _about_certificate(found, host)
    if "WRONG_VERSION_NUMBER" in str(found) or "HTTP_REQUEST" in str(found) or "RECORD_LAYER_FAILURE" in str(found):
        return plain(host)
    return f"the TLS handshake failed ({found.reason or found})"


def plain(host: str) -> str:
    """A server without TLS behind an https address."""
    return f"{host} does not speak TLS: write the address with http:// instead of https://"


async def answers_plainly(host: str, port: int) -> bool:
    """Whether a port where no handshake succeeds answers HTTP without TLS. (A TLS server says so with a 400.)"""
    writer = None
    try:
        async with asyncio.timeout(PROBE_S):
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            start = await reader.readexactly(12)
    except (OSError, TimeoutError, EOFError):
        return False
    finally:
        if writer is not None:
            writer.close()
    return start.startswith(b"HTTP/1.") and not start.endswith(b"400")


def _about_certificate(error: ssl.SSLCertVerificationError, host: str) -> str:
    said = error.verify_message or "it can't be verified"
    if "self-signed" in said or "self signed" in said:
        return (
            f"the certificate of {host} is self-signed, so nothing shows whose server it is. If it is yours, or your company's "
            "proxy: export SSL_CERT_FILE=/path/to/its-certificates.pem (REQUESTS_CA_BUNDLE is read as well)"
        )
    if "expired" in said or "not yet valid" in said:
        return f"the certificate of {host} is not valid now ({said}). Look at the clock of this machine, then at the server's"
    if "mismatch" in said or "not valid for" in said:
        return f"the certificate belongs to another server: {said}. Correct the address"
    return (
        f"the certificate of {host} is signed by nobody whom this machine trusts ({said}). If it is your company's: "
        "export SSL_CERT_FILE=/path/to/its-certificates.pem (REQUESTS_CA_BUNDLE is read as well)"
    )


def _parts(error: BaseException) -> list[BaseException]:
    """What aiohttp wrapped in the error (its own wrapper is an ssl error too, without the message), and the error."""
    inner = (getattr(error, name, None) for name in ("certificate_error", "os_error", "__cause__"))
    return [*(part for part in inner if isinstance(part, BaseException)), error]
